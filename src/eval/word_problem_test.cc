#include "eval/word_problem.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "eval/word_problem_words.h"

namespace looplm {
namespace {

constexpr int kMost = WordProblemOptions::kLargestNumber;

struct Known {
  int value = 0;
  std::set<int> operations;
};

const std::regex& regex_of(const std::string& pattern) {
  static std::map<std::string, std::regex> compiled;
  return compiled.try_emplace(pattern, pattern).first->second;
}

std::vector<std::string> split(const std::string& text, const std::string& pattern) {
  const std::regex& separator = regex_of(pattern);
  return {std::sregex_token_iterator(text.begin(), text.end(), separator, -1), {}};
}

std::string replaced(const std::string& text, const std::string& pattern, const char* by) {
  return std::regex_replace(text, regex_of(pattern), by);
}

using Words = std::map<std::string, std::string>;

// The text with these words in place of those.
std::string with_words(const std::string& text, const Words& words) {
  std::string out, word;
  const auto end_word = [&] {
    const auto found = words.find(word);
    out += found == words.end() ? word : found->second;
    word.clear();
  };
  for (const char c : text) {
    if (std::isalnum(c) != 0) {
      word += c;
    } else {
      end_word();
      out += c;
    }
  }
  end_word();
  return out;
}

// Free wording in the words of plain stories: farmers become Farmer, "I" becomes Ivy, what is there
// belongs to There, and all of it happens now.
std::string plain(std::string text) {
  if (!text.ends_with('?')) text += '?';
  text = replaced(text, ", how many|[.] how many", ". How many");
  text = replaced(text, "^If (.)", "$1");
  const std::regex& role = regex_of(
      "\\b(?:[Aa]|[Tt]he) (farmer|girl|boy|baker|teacher|man|woman|sailor|doctor|child|king|"
      "queen|cook)\\b");
  for (std::smatch m; std::regex_search(text, m, role);) {
    std::string name = m[1];
    name[0] = static_cast<char>(std::toupper(name[0]));
    text = m.prefix().str() + name + m.suffix().str();
  }
  const size_t question = text.rfind(". ") + 2;
  std::string told = text.substr(0, question);
  std::string asked = text.substr(question);
  told = replaced(told, " and ([A-Z]\\w*) (has|have|had|owns?|owned|starts?|started) ", ". $1 $2 ");
  asked = replaced(asked, "before I", "before she");
  asked = replaced(asked, "do I have", "does Ivy have");
  asked = replaced(asked, "than me", "than Ivy");
  asked = replaced(asked, "did I have", "did Ivy have");
  asked = replaced(asked, "are there|were there", "does There have");
  asked = replaced(asked, "does There have at first", "did There have at first");
  asked = replaced(asked, "many does There have now", "many does she have now");
  asked = replaced(asked, "remain", "are left");
  asked = replaced(asked, "in all|in total|altogether", "together");
  told = replaced(told, "^[Tt]here (is|are|was|were) (\\d+ \\w+)[^.]*?( and |, but |[.])",
                  "There has $2$3");
  told = replaced(told, ", but ", " and ");
  told = replaced(told, "\\bI\\b", "Ivy");
  told = replaced(told, "\\bme\\b", "Ivy");
  told = replaced(told, "\\bmy\\b", "her");
  told = replaced(told, "([Aa])nother (\\d+)", "$2");
  const std::string there =
      "(half of them|Half of them|\\d+( more)?( (?!and )\\w+| of the \\w+)?) ";
  told = replaced(told,
                  there +
                      "((is|are|was|were|come|came|comes) (added|found|back|born)|"
                      "(come|came|comes|arrive|arrived|arrives)\\b)",
                  "arrives $1");
  told = replaced(told,
                  there +
                      "((is|are|was|were|get|gets|got) (lost|sold|taken away|eaten)|"
                      "(break|broke|breaks|leave|left|leaves|die|died|dies)\\b|"
                      "(fall|fell|falls) down|(run|ran|runs|go|went|goes) (away|bad))",
                  "vanishes $1");
  static const Words kPresent = {
      {"have", "has"},           {"had", "has"},
      {"start", "starts"},       {"started", "starts"},
      {"own", "owns"},           {"owned", "owns"},
      {"double", "doubles"},     {"doubled", "doubles"},
      {"buy", "buys"},           {"bought", "buys"},
      {"find", "finds"},         {"found", "finds"},
      {"get", "gets"},           {"got", "gets"},
      {"win", "wins"},           {"won", "wins"},
      {"pick", "picks"},         {"picked", "picks"},
      {"take", "takes"},         {"took", "takes"},
      {"make", "makes"},         {"made", "makes"},
      {"receive", "receives"},   {"received", "receives"},
      {"collect", "collects"},   {"collected", "collects"},
      {"lose", "loses"},         {"lost", "loses"},
      {"sell", "sells"},         {"sold", "sells"},
      {"give", "gives"},         {"gave", "gives"},
      {"drop", "drops"},         {"dropped", "drops"},
      {"throw", "throws"},       {"threw", "throws"},
      {"break", "breaks"},       {"broke", "breaks"},
      {"use", "uses"},           {"used", "uses"},
      {"earn", "earns"},         {"earned", "earns"},
      {"gather", "gathers"},     {"gathered", "gathers"},
      {"add", "adds"},           {"added", "adds"},
      {"catch", "catches"},      {"caught", "catches"},
      {"borrow", "borrows"},     {"borrowed", "borrows"},
      {"lend", "lends"},         {"lent", "lends"},
      {"donate", "donates"},     {"donated", "donates"},
      {"return", "returns"},     {"returned", "returns"},
      {"mail", "mails"},         {"mailed", "mails"},
      {"misplace", "misplaces"}, {"misplaced", "misplaces"},
      {"send", "sends"},         {"sent", "sends"},
      {"eat", "eats"},           {"ate", "eats"},
  };
  told = with_words(told, kPresent);
  const std::string relative =
      "(her|Her|his|His|My) (mother|father|brother|sister|friend|aunt|uncle|cousin)";
  told = replaced(told, relative + " gives", "A friend gives");
  told = replaced(told, "gives " + relative + " (\\d+)", "passes $3");
  told = replaced(told, "gives (\\d+[^.,]*?) to " + relative, "passes $1");
  return told + asked;
}

// Wide wording in the words of free stories.
std::string as_free(std::string text) {
  static const Words kStems = {
      {"cherry", "cherrie"}, {"berry", "berrie"},   {"strawberry", "strawberrie"},
      {"tomato", "tomatoe"}, {"potato", "potatoe"}, {"mango", "mangoe"},
      {"candy", "candie"},   {"peach", "peache"},   {"sandwich", "sandwiche"},
      {"watch", "watche"},   {"brush", "brushe"},   {"fox", "foxe"},
      {"puppy", "puppie"},   {"pony", "ponie"},     {"mouse", "mice"},
      {"goose", "geese"},    {"knife", "knive"},    {"leaf", "leave"},
  };
  text = with_words(text, kStems);
  // "3 red pens and 4 blue pens" are one box of 7.
  const std::string colour = "(?:red|blue|green|yellow|white|black|big|small|old|new)";
  const std::regex& parts = regex_of(fmt::format("(\\d+) {0} (\\w+) and (\\d+) {0} \\w+", colour));
  for (std::smatch m; std::regex_search(text, m, parts);) {
    const int sum = std::stoi(m[1]) + std::stoi(m[3]);
    text = fmt::format("{}1 boxes of {} {}{}", m.prefix().str(), sum, m[2].str(), m.suffix().str());
  }
  text = replaced(text, "[.] Each \\w+ (has|had) (\\d+)", " of $2");
  text = replaced(text, "[Tt]here (are|were) (\\d+ \\w+ (of|with))", "There has $2");
  text = replaced(text, "have (in all|in total|altogether)", "have now");
  text = replaced(text, "do (they|we) have now", "do $1 have together");
  return replaced(text, "([Hh]ow many( more)?) do(es)? (?!they|we)", "$1 things do$3 ");
}

// Works a story out from its English alone.
class Reader {
 public:
  // The number that the question asks for, and the operations that it depends on.
  Known answer(const std::string& text) {
    std::vector<std::string> sentences = split(text, R"(\. )");
    const std::string question = sentences.back();
    sentences.pop_back();
    for (size_t i = 0; i < sentences.size(); ++i) {
      // "Tom has 3 more pens than Ann. Ann has 4 pens."
      std::smatch m;
      if (std::regex_match(sentences[i], m, regex_of(R"(.* (than|as) (\w+))")) &&
          !people_.contains(m[2])) {
        std::swap(sentences.at(i), sentences.at(i + 1));
      }
      read(sentences[i]);
    }
    return ask(question);
  }
  std::string more() const {
    const auto& [a, first] = *people_.begin();
    const auto& [b, second] = *people_.rbegin();
    return first.value > second.value ? a : b;
  }

 private:
  void read(std::string sentence) {
    std::smatch m;
    if (std::regex_match(sentence, regex_of("(It|The|A bus|Everyone) .*"))) return;
    if (std::regex_match(sentence, m, regex_of(R"(A friend gives (\w+) (\d+).*)"))) {
      const bool pronoun = m[1] == "her" || m[1] == "him";
      return change(pronoun ? people_.begin()->first : m[1].str(), "", std::stoi(m[2]));
    }
    if (sentence.starts_with("Then ")) sentence = sentence.substr(5);
    if (sentence.starts_with("arrives") || sentence.starts_with("vanishes")) {
      return read_clause("", sentence);
    }
    const std::string first = sentence.substr(0, sentence.find(' '));
    if (first != "She" && first != "He" && first != "she" && first != "he") {
      subject_ = first;
    } else {
      pronouns_[std::tolower(first[0]) == 's' ? "she" : "he"] = subject_;
    }
    for (const std::string& clause : split(sentence.substr(first.size() + 1), " and |, then ")) {
      read_clause(subject_, clause);
    }
  }

  void read_clause(const std::string& who, const std::string& clause) {
    std::smatch m;
    if (std::regex_match(clause, m, regex_of("(arrives|vanishes) ([Hh]alf of them|(\\d+).*)"))) {
      Known& known = people_.begin()->second;
      const int by = m[3].matched ? std::stoi(m[3]) : known.value / 2;
      return change(people_.begin()->first, "", m[1] == "arrives" ? by : -by);
    }
    const auto is = [&](const char* pattern) {
      return std::regex_match(clause, m, regex_of(pattern));
    };
    const auto same_things = [&](const std::string& word) {
      if (things_.empty()) things_ = word.ends_with('s') ? word : word + 's';
      return word == things_ || word + 's' == things_;
    };
    if (is(R"(has (twice|half) as many \w+( as (\w+))?)")) {
      const Known& base = people_.at(m[3].matched ? m[3].str() : told_first_);
      begin(who, m[1] == "twice" ? base.value * 2 : base.value / 2, base.operations, true);
    } else if (is(R"(has (as many|the same number of) \w+ as (\w+))")) {
      begin(who, people_.at(m[2]).value, people_.at(m[2]).operations, false);
    } else if (is(R"(has (\d+) (more|fewer|less)( (?!than)\w+)?( than (\w+))?)")) {
      const Known& base = people_.at(m[5].matched ? m[5].str() : told_first_);
      const int by = std::stoi(m[1]);
      begin(who, base.value + (m[2] == "more" ? by : -by), base.operations, true);
    } else if (is(R"(has (\d+) \w+ (with|of) (\d+) (\w+)( each)?)")) {
      EXPECT_TRUE(same_things(m[4]));
      begin(who, std::stoi(m[1]) * std::stoi(m[3]), {}, true);
    } else if (is(R"((has|owns|starts with|also has) (\d+)( \w+)?)")) {
      if (!m[3].matched || same_things(m[3].str().substr(1)))
        begin(who, std::stoi(m[2]), {}, false);
    } else if (is(R"(doubles (her|his) number of (\w+))")) {
      change(who, "", people_.at(who).value);
    } else if (is(R"((\w+|gives away) half.*)")) {
      change(who, "", -people_.at(who).value / 2);
    } else if (is(R"(gives ([A-Z]\w*) (\d+).*)") || is(R"(gives (\d+).* to (\w+))")) {
      const bool name_first = std::isdigit(m[1].str()[0]) == 0;
      const int by = std::stoi(name_first ? m[2] : m[1]);
      change(who, "", -by);
      change(name_first ? m[1] : m[2], "", by);
    } else if (is(R"(gives (\d+).* away)") || is(R"(gives away (\d+).*)")) {
      change(who, "gave away", -std::stoi(m[1]));
    } else if (is(R"((\w+|picks up|throws away) (\d+).*)")) {
      static const std::map<std::string, std::string> kGains = {
          {"buys", "bought"},  {"finds", "found"},        {"gets", "got"},
          {"wins", "won"},     {"picks up", "picked up"}, {"takes", "took"},
          {"makes", "made"},   {"receives", "received"},  {"collects", "collected"},
          {"earns", "earned"}, {"gathers", "gathered"},   {"picks", "picked"},
          {"adds", "added"},   {"catches", "caught"},     {"borrows", "borrowed"}};
      static const std::map<std::string, std::string> kLosses = {{"loses", "lost"},
                                                                 {"sells", "sold"},
                                                                 {"drops", "dropped"},
                                                                 {"eats", "ate"},
                                                                 {"throws away", "threw away"},
                                                                 {"breaks", "broke"},
                                                                 {"uses", "used"},
                                                                 {"lends", "lent"},
                                                                 {"donates", "donated"},
                                                                 {"returns", "returned"},
                                                                 {"mails", "mailed"},
                                                                 {"misplaces", "misplaced"},
                                                                 {"sends", "sent"},
                                                                 {"passes", "passed"}};
      const auto gain = kGains.find(m[1]);
      if (gain != kGains.end()) return change(who, gain->second, std::stoi(m[2]));
      const auto loss = kLosses.find(m[1]);
      ASSERT_NE(loss, kLosses.end()) << clause;
      change(who, loss->second, -std::stoi(m[2]));
    } else {
      FAIL() << clause;
    }
  }

  void begin(const std::string& who, int value, std::set<int> operations, bool one_more) {
    if (one_more) operations.insert(operations_++);
    if (people_.empty()) told_first_ = who;
    people_[who] = first_[who] = {value, std::move(operations)};
  }

  void change(const std::string& who, const std::string& past, int by) {
    Known& known = people_.at(who);
    before_[fmt::format("{} {} {}", who, past, std::abs(by))] = known;
    known.value += by;
    EXPECT_GE(known.value, 0);
    EXPECT_LE(known.value, kMost);
    known.operations.insert(operations_++);
  }

  Known ask(const std::string& q) {
    std::smatch m;
    const auto is = [&](const char* pattern) { return std::regex_match(q, m, regex_of(pattern)); };
    if (is(R"(How many \w+ does (\w+) have( now| left)?\?)")) {
      if (m[1] != "she" && m[1] != "he") return people_.at(m[1]);
      return people_.size() == 1 ? people_.begin()->second : people_.at(pronouns_.at(m[1]));
    }
    if (is(R"(How many (does (she|he) have now|(\w+ )?are left)\?)")) {
      return people_.begin()->second;
    }
    if (is(R"(How many \w+ did (\w+) have at first\?)")) return first_.at(m[1]);
    if (is(R"(How many \w+ did (\w+) have before (she|he) (.*)\?)")) {
      return before_.at(fmt::format("{} {}", m[1].str(), m[3].str()));
    }
    const Known& a = people_.begin()->second;
    const Known& b = people_.rbegin()->second;
    Known both = a;
    both.operations.insert(b.operations.begin(), b.operations.end());
    both.operations.insert(operations_);
    both.value = a.value + b.value;
    if (q.find("together") != std::string::npos) return both;
    EXPECT_TRUE(is(R"(How many (more|fewer) \w+ does (\w+) have than (\w+)\?)")) << q;
    const int gap = people_.at(m[2]).value - people_.at(m[3]).value;
    EXPECT_TRUE(gap == 0 || (gap > 0) == (m[1] == "more")) << q;
    both.value = std::abs(gap);
    return both;
  }

  std::map<std::string, Known> people_, first_, before_;
  std::map<std::string, std::string> pronouns_;
  std::string subject_, things_, told_first_;
  int operations_ = 0;
};

TEST(WordProblem, StoriesSayTheirAnswerToAReaderOfTheEnglish) {
  std::map<int, int> seen;
  for (uint64_t i = 0; i < 1600; ++i) {
    const WordProblemTurn turn = word_problem({}, i).turns.front();
    ++seen[turn.steps];
    Reader reader;
    if (!turn.number) {
      reader.answer(turn.question.substr(0, turn.question.rfind("Who")) + "How many together?");
      EXPECT_EQ(turn.answer, fmt::format("Now {} has more.", reader.more())) << turn.question;
      continue;
    }
    const Known answer = reader.answer(turn.question);
    EXPECT_EQ(answer.value, *turn.number) << turn.question;
    EXPECT_EQ(static_cast<int>(answer.operations.size()), turn.steps) << turn.question;
    EXPECT_TRUE(turn.answer.starts_with(fmt::format("{} {} ", turn.opening, *turn.number)))
        << turn.answer;
  }
  ASSERT_EQ(seen.size(), 8u);
  for (const auto& [steps, count] : seen) EXPECT_NEAR(count, 200, 60) << steps;
}

TEST(WordProblem, FreeWordingSaysTheSameThings) {
  std::map<std::string, int> kinds;
  for (int people = 1; people <= 2; ++people) {
    for (uint64_t i = 0; i < 500; ++i) {
      const WordProblemTurn turn =
          word_problem({.people = people, .wording = WordProblemWording::kFree}, i).turns.front();
      const std::string& text = turn.question;
      kinds["we"] += text.find("do we have") != std::string::npos;
      kinds["than me"] += text.find("than me") != std::string::npos;
      kinds["I"] += std::regex_search(text, regex_of("\\bI\\b"));
      kinds["there"] += std::regex_search(text, regex_of("^(If )?[Tt]here "));
      kinds["role"] += std::regex_search(text, regex_of("[Tt]he (farmer|girl|king)"));
      kinds["past"] += text.find("sold") != std::string::npos;
      kinds["relative gives"] +=
          std::regex_search(text, regex_of("(My|Her|His) \\w+ (gives|gave)"));
      kinds["to relative"] += std::regex_search(text, regex_of("to (my|her|his) \\w+"));
      kinds["relative"] += std::regex_search(text, regex_of("(gives?|gave) (my|her|his) \\w+ \\d"));
      kinds["if"] += text.starts_with("If ");
      kinds["both in a sentence"] +=
          std::regex_search(text, regex_of(" and (([Tt]he|a) )?[A-Z]?\\w+ (had|has) "));
      kinds["compared first"] += std::regex_search(
          text, regex_of("^(\\w+) (had|has) [^.]* (than|as) (\\w+)[.] \\4 (has|had|owns|starts)"));
      if (!turn.number) continue;
      const Known answer = Reader().answer(plain(text));
      EXPECT_EQ(answer.value, *turn.number) << text << '\n' << plain(text);
      EXPECT_EQ(static_cast<int>(answer.operations.size()), turn.steps) << text;
      EXPECT_TRUE(turn.answer.starts_with(fmt::format("{} {}", turn.opening, *turn.number)));
      EXPECT_EQ(turn.opening.find(" I "), std::string::npos) << turn.answer;
    }
  }
  for (const auto& [kind, count] : kinds) EXPECT_GE(count, 3) << kind;
}

TEST(WordProblem, WideWordingIsWhatPeopleType) {
  std::map<std::string, int> kinds;
  for (int people = 1; people <= 2; ++people) {
    for (uint64_t i = 0; i < 150; ++i) {
      const WordProblemTurn turn =
          word_problem(
              {.max_steps = 4, .people = people, .equal = 3, .wording = WordProblemWording::kWide},
              i)
              .turns.front();
      const std::string& text = turn.question;
      const auto says = [&](const char* pattern) {
        return static_cast<int>(std::regex_search(text, regex_of(pattern)));
      };
      kinds[people == 1 ? "he has left" : "he of two"] += says("does s?he have");
      kinds["of one in all"] += says("(does|do) (I|s?he|[A-Z]\\w+) have in all");
      kinds["colours"] += says("\\d (red|blue|big) \\w+ and \\d");
      kinds["each box"] += says("[.] Each box");
      kinds["more than Ann"] += says("(more|fewer|less) than");
      kinds["6 fewer"] += says("(more|fewer|less)[.,] ");
      kinds["twice as many"] += says("(twice|half) as many \\w+[.,]");
      kinds["cherry"] += says("\\b(cherr|berr|cand|pupp|sheep|mouse|mice)");
      kinds["as many"] += turn.number == 0 && says("ow many (more|fewer) ");
      kinds["nobody has more"] += turn.answer == "They have the same number.";
      // "leaves" are also what cows do.
      if (!turn.number || turn.answer.find(" lea") != std::string::npos) continue;
      const Known answer = Reader().answer(plain(as_free(text)));
      EXPECT_EQ(answer.value, *turn.number) << text << '\n' << plain(as_free(text));
      EXPECT_EQ(static_cast<int>(answer.operations.size()), turn.steps) << text;
      EXPECT_TRUE(turn.answer.starts_with(fmt::format("{} {}", turn.opening, *turn.number)));
    }
  }
  for (const auto& [kind, count] : kinds) EXPECT_GE(count, 1) << kind;
  std::set<std::string> hellos;
  for (uint64_t i = 0; i < 4000; ++i) {
    const WordProblemTurn turn =
        word_problem({.kind = WordProblemKind::kTalk, .wording = WordProblemWording::kWide}, i)
            .turns.front();
    if (turn.answer.starts_with("Hello!")) hellos.insert(turn.question);
  }
  EXPECT_TRUE(hellos.contains("hi") && hellos.contains("hi there")) << "of " << hellos.size();
}

TEST(WordProblem, ProseAboutTwoPeopleCountsBoth) {
  WordProblemOptions options{.form = WordProblemForm::kProse, .people = 2, .count_every = 1};
  for (uint64_t i = 0; i < 200; ++i) {
    std::string told, things;
    std::set<std::string> names;
    for (const WordProblemTurn& turn : word_problem(options, i).turns) {
      std::smatch m;
      ASSERT_TRUE(std::regex_match(turn.question, m, regex_of("( \\w+[.])?(.*) Now (\\w+) has")))
          << turn.question;
      names.insert(m[3]);
      told += m[2];
      const std::string all =
          fmt::format("{} How many things does {} have?", told.substr(1), m[3].str());
      EXPECT_EQ(Reader().answer(all).value, *turn.number) << all;
    }
    EXPECT_EQ(names.size(), 2u);
  }
}

TEST(WordProblem, ProseAsksQuestionsThatItsStoryAnswers) {
  const WordProblemOptions options{
      .form = WordProblemForm::kProse, .before = 0, .people = 2, .count_every = 2, .ask_every = 1};
  std::map<std::string, int> asked;
  for (uint64_t i = 0; i < 200; ++i) {
    std::string told;
    for (const WordProblemTurn& turn : word_problem(options, i).turns) {
      // Behind the number before: " pens left."
      const std::string text = turn.question.substr(told.empty() ? 0 : turn.question.find('.') + 1);
      std::smatch m;
      ASSERT_TRUE(std::regex_match(text, m, regex_of("(.*) (How many [^?]*[?]) ([^.]*)"))) << text;
      told += m[1];
      const std::string all = told.substr(1) + ' ' + m[2].str();
      EXPECT_EQ(Reader().answer(all).value, *turn.number) << all;
      EXPECT_EQ(turn.answer, fmt::format(" {}", *turn.number));
      ++asked[m[3].str().substr(0, m[3].str().find(' '))];
    }
  }
  EXPECT_GT(asked["Together"], 20);
  EXPECT_GT(asked["Now"], 100);
}

// What was told last of each name is what is asked for; no two people have the same number.
TEST(WordProblem, ALookupAsksForTheNumberThatANameWasToldWith) {
  WordProblemOptions options{.kind = WordProblemKind::kLookup,
                             .form = WordProblemForm::kProse,
                             .names = 8,
                             .wording = WordProblemWording::kFree};
  std::set<std::string> names;
  std::map<std::string, int> asking;
  int twice_told = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    std::map<std::string, int> has;
    for (const WordProblemTurn& turn : word_problem(options, i).turns) {
      std::smatch m;
      ASSERT_TRUE(std::regex_match(
          turn.question, m,
          regex_of("(?:( \\w+)?[.])?((?: .*[.])?)( Now| How many .* Now)? (\\w+)( has)?")))
          << turn.question;
      const std::string told = m[2];
      twice_told += !has.empty() && !told.empty();
      for (std::sregex_iterator at(told.begin(), told.end(), regex_of("(\\w+)( has)? (\\d+)")), end;
           at != end; ++at) {
        has[(*at)[1]] = std::stoi((*at)[3]);
      }
      ASSERT_TRUE(has.contains(m[4])) << turn.question;
      EXPECT_EQ(has[m[4]], *turn.number) << turn.question;
      EXPECT_EQ(turn.answer, fmt::format(" {}", *turn.number));
      names.insert(m[4]);
      ++asking[m[3].str().substr(0, 4) + m[5].str()];
    }
    std::set<int> numbers;
    for (const auto& [name, number] : has) numbers.insert(number);
    EXPECT_EQ(numbers.size(), has.size());
  }
  EXPECT_EQ(names.size(), 8u);
  EXPECT_EQ(asking.size(), 4u) << "of Ann, Ann has, Now Ann has, How many ... Now Ann has";
  EXPECT_GT(twice_told, 50);
  options.wording = WordProblemWording::kPlain;
  for (const WordProblemTurn& turn : word_problem(options, 1).turns) {
    EXPECT_EQ(turn.question.find(" has"), std::string::npos) << turn.question;
  }
}

TEST(WordProblem, MadeUpNamesAndThingsAreInNoList) {
  WordProblemOptions options{.people = 1, .made_up = 1, .made_up_things = 1};
  std::set<std::string> listed, names, things;
  for (const ProblemName& name : problem_names()) listed.insert(std::string(name.name));
  for (const ProblemName& name : held_out_names()) listed.insert(std::string(name.name));
  int known = 0;
  for (uint64_t i = 0; i < 500; ++i) {
    const WordProblemTurn turn = word_problem(options, i).turns.front();
    const std::string name = turn.question.substr(0, turn.question.find(' '));
    known += static_cast<int>(listed.contains(name));
    names.insert(name);
    things.insert(turn.answer.substr(turn.answer.find_last_of("0123456789") + 1));
    if (!turn.number) continue;
    EXPECT_EQ(Reader().answer(turn.question).value, *turn.number) << turn.question;
  }
  EXPECT_LT(known, 5);
  EXPECT_GT(names.size(), 400u);
  EXPECT_GT(things.size(), 400u);
  std::set<int> letters;
  for (const std::string& name : names) {
    for (const char c : name) letters.insert(std::tolower(c));
  }
  EXPECT_EQ(letters.size(), 26u);  // a model copies no piece that it was not shown
  options.made_up = 3;
  options.made_up_things = 0;
  known = 0;
  for (uint64_t i = 0; i < 600; ++i) {
    const std::string text = word_problem(options, i).turns.front().question;
    known += static_cast<int>(listed.contains(text.substr(0, text.find(' '))));
  }
  EXPECT_NEAR(known, 400, 50);
}

TEST(WordProblem, ALaterQuestionIsAboutAllThatWasToldBefore) {
  WordProblemOptions options;
  options.turns = 3;
  int told_more = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    std::string told;
    for (const WordProblemTurn& turn : word_problem(options, i).turns) {
      const size_t question =
          turn.question.find(". ") == std::string::npos ? 0 : turn.question.rfind(". ") + 2;
      told_more += !told.empty() && question > 0;
      told += turn.question.substr(0, question);
      if (!turn.number) continue;
      const std::string all = told + turn.question.substr(question);
      EXPECT_EQ(Reader().answer(all).value, *turn.number) << all;
    }
  }
  EXPECT_GT(told_more, 60);
}

// A sum or a chain from left to right; only the first operation may be a product.
void expect_works_out(std::string text, const WordProblemTurn& turn) {
  for (const auto& [words, sign] : {std::pair{"[Aa]dd|[Pp]lus", "+"},
                                    {"[Tt]ake away|[Ss]ubtract|[Mm]inus", "-"},
                                    {"[Dd]ouble it", "* 2"},
                                    {"[Hh]alve it", "/ 2"},
                                    {"times|x|[Tt]imes|[Mm]ultiply by", "*"},
                                    {"[Dd]ivided? (it )?by", "/"},
                                    {"[^0-9+*/ -]", ""}}) {
    text = std::regex_replace(text, regex_of(words), sign);
  }
  std::istringstream in(text);
  int value = 0;
  ASSERT_TRUE(in >> value) << turn.question;
  int steps = 0;
  char what = 0;
  for (int by = 0; in >> what >> by; ++steps) {
    value = what == '+'   ? value + by
            : what == '-' ? value - by
            : what == '*' ? value * by
                          : value / by;
    ASSERT_TRUE(value >= 0 && value <= kMost) << turn.question;
  }
  EXPECT_EQ(value, *turn.number) << text;
  EXPECT_EQ(steps, turn.steps) << text;
}

TEST(WordProblem, SumsAndChainsAreWorkedOutInTheOrderOfTheirWords) {
  for (const WordProblemKind kind : {WordProblemKind::kSum, WordProblemKind::kChain}) {
    for (const auto wording : {WordProblemWording::kPlain, WordProblemWording::kWide}) {
      for (uint64_t i = 0; i < 1000; ++i) {
        const WordProblemTurn turn =
            word_problem({.kind = kind, .wording = wording}, i).turns.front();
        expect_works_out(turn.question, turn);
      }
    }
  }
}

TEST(WordProblem, ProseSaysFromTimeToTimeWhatItHasComeTo) {
  for (const WordProblemKind kind : {WordProblemKind::kSum, WordProblemKind::kChain}) {
    WordProblemOptions options{.kind = kind, .form = WordProblemForm::kProse, .max_steps = 24};
    size_t counts = 0;
    int steps = 0;
    for (uint64_t i = 0; i < 300; ++i) {
      std::string told;
      const WordProblem problem = word_problem(options, i);
      for (const WordProblemTurn& turn : problem.turns) {
        told += turn.question;
        expect_works_out(told, turn);
        EXPECT_EQ(turn.answer, fmt::format(" {}", *turn.number));
      }
      counts += problem.turns.size();
      steps += problem.turns.back().steps;
    }
    EXPECT_NEAR(static_cast<double>(counts) / steps, 0.54, 0.05);  // one in two, and the last
    options.count_every = 0;
    EXPECT_EQ(word_problem(options, 1).turns.size(), 1u);
  }
}

TEST(WordProblem, TheSplitsShareNoCombinationAndNoName) {
  WordProblemOptions options;
  options.max_steps = 2;  // few combinations, so that an overlap would show
  std::set<std::string> combinations, names;
  const auto name_of = [](const WordProblem& problem) {
    const std::string& text = problem.turns.front().question;
    return text.substr(0, text.find(' '));
  };
  for (uint64_t i = 0; i < 4000; ++i) {
    const WordProblem problem = word_problem(options, i);
    combinations.insert(problem.combination);
    names.insert(name_of(problem));
  }
  options.split = WordProblemSplit::kHeldOut;
  for (uint64_t i = 0; i < 1000; ++i) {
    const WordProblem problem = word_problem(options, i);
    EXPECT_FALSE(combinations.contains(problem.combination)) << problem.combination;
    EXPECT_FALSE(names.contains(name_of(problem))) << name_of(problem);
  }
  EXPECT_GT(names.size(), 50u);
}

TEST(WordProblem, AProblemDependsOnSeedAndIndexAlone) {
  WordProblemOptions options;
  const std::string first = word_problem(options, 7).turns.front().question;
  EXPECT_EQ(word_problem(options, 7).turns.front().question, first);
  EXPECT_NE(word_problem(options, 8).turns.front().question, first);
  options.seed = 2;
  EXPECT_NE(word_problem(options, 7).turns.front().question, first);
}

TEST(WordProblem, SmallTalkHasAnswersWithoutNumbers) {
  std::set<std::string> answers;
  for (uint64_t i = 0; i < 500; ++i) {
    const WordProblem talk = word_problem({.kind = WordProblemKind::kTalk}, i);
    EXPECT_FALSE(talk.turns.front().number.has_value());
    EXPECT_FALSE(talk.turns.front().question.empty());
    answers.insert(talk.turns.front().answer);
  }
  EXPECT_EQ(answers.size(), 15u);
}

TEST(WordProblem, AMixedChatHasTurnsOfAllKinds) {
  const WordProblemOptions options{.kind = WordProblemKind::kMixed, .turns = 4};
  std::map<std::string, int> openings;
  for (uint64_t i = 0; i < 200; ++i) {
    const WordProblem chat = word_problem(options, i);
    ASSERT_EQ(chat.turns.size(), 4u);
    for (const WordProblemTurn& turn : chat.turns) {
      ++openings[turn.number ? turn.opening.substr(0, turn.opening.find(' ')) : "talk"];
    }
  }
  EXPECT_NEAR(openings["That"], 160, 50);
  EXPECT_NEAR(openings["You"], 160, 50);
  EXPECT_NEAR(openings["talk"], 160, 50);
}

TEST(WordProblem, AMixedChatMayTellManyStoriesOfFewPeopleAndThings) {
  const WordProblemOptions options{.kind = WordProblemKind::kMixed,
                                   .turns = 8,
                                   .people = 2,
                                   .stories = 8,
                                   .names = 8,
                                   .things = 2,
                                   .wording = WordProblemWording::kFree};
  const std::regex others(" (Leo|Anna|Paul|coins|stamps|cakes|cats) ");
  int stories = 0, announced = 0, sums_amid = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    bool sum = false;
    for (const WordProblemTurn& turn : word_problem(options, i).turns) {
      const bool was_sum = std::exchange(sum, turn.opening == "That is");
      if (!turn.number || sum || turn.opening == "You get") continue;
      ++stories;
      EXPECT_FALSE(std::regex_search(turn.question, others)) << turn.question;
      // A story never begins with its question.
      sums_amid += static_cast<int>(was_sum && turn.question.starts_with("How many "));
      announced += static_cast<int>(std::ranges::any_of(
          new_problems(), [&](std::string_view says) { return turn.question.starts_with(says); }));
    }
  }
  EXPECT_GT(stories, 1100);  // of 1,600 turns
  EXPECT_GT(announced, 50);
  EXPECT_GT(sums_amid, 40);
}

TEST(WordProblem, RangesAreChecked) {
  EXPECT_TRUE(check(WordProblemOptions()).ok());
  EXPECT_THAT(check({.min_steps = 0}).message(), testing::HasSubstr("0..8"));
  EXPECT_THAT(check({.max_steps = 9}).message(), testing::HasSubstr("1..9"));
  EXPECT_THAT(check({.min_steps = 5, .max_steps = 4}).message(), testing::HasSubstr("5..4"));
  EXPECT_TRUE(check({.form = WordProblemForm::kProse, .max_steps = 24}).ok());
  EXPECT_THAT(check({.turns = 9}).message(), testing::HasSubstr("turns is 9"));
  EXPECT_THAT(check({.people = 3}).message(), testing::HasSubstr("people is 3"));
  EXPECT_THAT(check({.tell_every = 0}).message(), testing::HasSubstr("one question in 0"));
  EXPECT_THAT(check({.before = 9}).message(), testing::HasSubstr("behind 9 events"));
  EXPECT_THAT(check({.names = 7}).message(), testing::HasSubstr("names is 7"));
  EXPECT_TRUE(check({.names = 100}).ok());
  EXPECT_THAT(check({.names = 101}).message(), testing::HasSubstr("8 to 100"));
  EXPECT_THAT(check({.stories = 9}).message(), testing::HasSubstr("stories is 9"));
  EXPECT_THAT(check({.things = 1}).message(), testing::HasSubstr("things is 1"));
  EXPECT_THAT(check({.things = 15}).message(), testing::HasSubstr("2 to 14"));
  EXPECT_THAT(check({.equal = 9}).message(), testing::HasSubstr("one story of 9"));
  EXPECT_THAT(check({.made_up = 9}).message(), testing::HasSubstr("one made-up name in 9"));
  EXPECT_THAT(check({.made_up_things = 9}).message(),
              testing::HasSubstr("one made-up kind of things in 9"));
  EXPECT_THAT(check({.ask_every = -1}).message(), testing::HasSubstr("every -1 counts"));
  EXPECT_THAT(check({.kind = WordProblemKind::kLookup}).message(),
              testing::HasSubstr("expected prose"));
  EXPECT_THAT(check({.count_every = 9}).message(), testing::HasSubstr("every 9"));
}

}  // namespace
}  // namespace looplm
