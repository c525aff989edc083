#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include <gmock/gmock.h>

#include "experiments/capo/biography.h"
#include "experiments/capo/knowledge.h"

namespace looplm {
namespace {

TEST(Permuted, IsABijectionOfEverySize) {
  for (uint64_t size : {1, 2, 3, 4, 5, 16, 17, 100, 1000}) {
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i) seen.insert(permuted(3, 4, i, size));
    EXPECT_EQ(seen.size(), size);
    EXPECT_LT(*seen.rbegin(), size);
  }
}

TEST(Permuted, SeedsAndStreamsGiveOthers) {
  const auto order = [](uint64_t seed, uint64_t stream) {
    std::vector<uint64_t> places;
    for (uint64_t i = 0; i < 50; ++i) places.push_back(permuted(seed, stream, i, 50));
    return places;
  };
  EXPECT_EQ(order(1, 1), order(1, 1));
  EXPECT_NE(order(1, 1), order(2, 1));
  EXPECT_NE(order(1, 1), order(1, 2));
  // Fixed points of a random permutation: one on average.
  int fixed = 0;
  for (uint64_t stream = 0; stream < 200; ++stream) {
    for (uint64_t i = 0; i < 50; ++i) fixed += permuted(1, stream, i, 50) == i;
  }
  EXPECT_NEAR(fixed, 200, 60);
}

TEST(Person, IsAFunctionOfSeedAndIndexWithAUniqueName) {
  std::set<std::tuple<uint32_t, uint32_t, uint32_t>> names;
  for (uint64_t i = 0; i < 20000; ++i) {
    const Person p = person(1, i);
    names.insert({p.first_name, p.middle_name, p.last_name});
  }
  EXPECT_EQ(names.size(), 20000u);
  EXPECT_EQ(person(1, 77), person(1, 77));
  EXPECT_FALSE(person(1, 77) == person(2, 77));
}

TEST(Person, AttributesAreUniformOverThePapersNumbersOfValues) {
  const std::vector<std::pair<uint32_t Person::*, uint32_t>> fields = {
      {&Person::first_name, 400}, {&Person::middle_name, 400}, {&Person::last_name, 1000},
      {&Person::gender, 2},       {&Person::month, 12},        {&Person::day, 28},
      {&Person::year, 200},       {&Person::city, 200},        {&Person::university, 300},
      {&Person::major, 100},      {&Person::employer, 263}};
  constexpr int kPeople = 40000;
  for (size_t f = 0; f < fields.size(); ++f) {
    const auto [field, values] = fields[f];
    std::vector<double> counts(values);
    for (uint64_t i = 0; i < kPeople; ++i) {
      const uint32_t value = person(5, i).*field;
      ASSERT_LT(value, values) << f;
      ++counts[value];
    }
    const double expected = double{kPeople} / values;
    double chi_squared = 0;
    for (double count : counts) chi_squared += (count - expected) * (count - expected) / expected;
    // Mean k - 1, deviation sqrt(2 (k - 1)); five deviations are out of reach of chance.
    const double freedom = values - 1;
    EXPECT_NEAR(chi_squared, freedom, 5 * std::sqrt(2 * freedom)) << f;
  }
}

TEST(Person, AnEmployerHasOneCity) {
  std::set<uint32_t> cities;
  for (uint32_t employer = 0; employer < kEmployers; ++employer) {
    EXPECT_LT(employer_city(employer), kCities);
    cities.insert(employer_city(employer));
  }
  // 263 balls in 200 boxes fill 146 on average.
  EXPECT_NEAR(static_cast<double>(cities.size()), 146, 20);
}

TEST(PossiblePeople, AreThePapers) {
  EXPECT_NEAR(std::log2(kPossibleNames), 27.25, 0.005);
  EXPECT_NEAR(std::log2(kPossibleAttributes), 47.59, 0.005);
}

// Words of the text, without periods.
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (char c : text + " ") {
    if (c != ' ' && c != '.') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  return words;
}

TEST(Biography, ReadsAsSixSentencesAboutThePerson) {
  const BiographyWriter writer;
  Person p = person(1, 0);
  p.gender = 1;
  p.month = 2;
  p.day = 6;
  p.year = 84;
  const std::string text = writer.text(writer.write(p, {0, 9, 2, 3, 4, 5}).ids);
  EXPECT_THAT(text, testing::HasSubstr(" was born on March 7 1984. She comes from "));
  EXPECT_EQ(std::count(text.begin(), text.end(), '.'), kSentences);
  const std::vector<std::string> words = split(text);
  EXPECT_EQ(words[3], "was");  // after the three names
  p.gender = 0;
  EXPECT_THAT(writer.text(writer.write(p, {}).ids), testing::HasSubstr(". He was born in "));
}

TEST(Biography, RolesMarkNameAndValues) {
  const BiographyWriter writer;
  const Biography b = writer.write(1, 3, 0);
  ASSERT_EQ(b.ids.size(), b.roles.size());
  EXPECT_EQ(b.ids.front(), 0);
  EXPECT_EQ(std::count(b.roles.begin(), b.roles.end(), TokenRole::kName), 6);
  // Date 4, pronoun 1, and two for each of city, university, major, employer's city and employer.
  EXPECT_EQ(std::count(b.roles.begin(), b.roles.end(), TokenRole::kAttribute), 15);
}

// Two people who differ in one thing have biographies that differ in tokens of that thing alone;
// every value of a list gives other tokens.
TEST(Biography, EveryValueHasTokensOfItsOwn) {
  const BiographyWriter writer;
  const std::vector<std::pair<uint32_t Person::*, uint32_t>> fields = {
      {&Person::first_name, 400}, {&Person::middle_name, 400}, {&Person::last_name, 1000},
      {&Person::gender, 2},       {&Person::month, 12},        {&Person::day, 28},
      {&Person::year, 200},       {&Person::city, 200},        {&Person::university, 300},
      {&Person::major, 100},      {&Person::employer, 263}};
  for (const auto& [field, values] : fields) {
    std::set<std::vector<int32_t>> ids;
    std::set<std::string> texts;
    Biography first;
    for (uint32_t value = 0; value < values; ++value) {
      Person p;
      p.*field = value;
      const Biography b = writer.write(p, {1, 2, 3, 4, 5, 6});
      if (value == 0) first = b;
      ids.insert(b.ids);
      texts.insert(writer.text(b.ids));
      EXPECT_EQ(b.roles, first.roles);
      for (size_t i = 0; i < b.ids.size(); ++i) {
        const bool pronoun = field == &Person::gender;
        EXPECT_TRUE(b.ids[i] == first.ids[i] || b.roles[i] != TokenRole::kText || pronoun);
      }
    }
    EXPECT_EQ(ids.size(), values);
    EXPECT_EQ(texts.size(), values);
  }
}

TEST(Biography, TemplatesAreDistinctAndNoOpeningLeavesDoubtWhetherTheValueFollows) {
  const BiographyWriter writer;
  for (int s = 0; s < kSentences; ++s) {
    const auto sentence = static_cast<Sentence>(s);
    std::set<std::pair<std::vector<int32_t>, std::vector<int32_t>>> forms;
    for (uint32_t i = 0; i < kTemplates; ++i) {
      const std::vector<int32_t> opening = writer.opening(sentence, i);
      forms.insert({opening, writer.closing(sentence, i)});
      for (uint32_t j = 0; j < kTemplates; ++j) {
        const std::vector<int32_t> other = writer.opening(sentence, j);
        if (other.size() <= opening.size()) continue;
        EXPECT_FALSE(std::equal(opening.begin(), opening.end(), other.begin()))
            << writer.text(opening) << " | " << writer.text(other);
      }
    }
    EXPECT_EQ(forms.size(), kTemplates);
  }
}

TEST(Biography, VocabularyIsSmallAndAllUsed) {
  const BiographyWriter writer;
  EXPECT_LT(writer.vocab_size(), 300);
  std::set<int32_t> seen;
  for (uint64_t i = 0; i < 5000; ++i) {
    for (int32_t id : writer.write(1, i, i).ids) seen.insert(id);
  }
  EXPECT_EQ(static_cast<int32_t>(seen.size()), writer.vocab_size());
}

TEST(Biography, IsAFunctionOfPersonAndExposure) {
  const BiographyWriter writer;
  EXPECT_EQ(writer.write(1, 3, 5).ids, writer.write(1, 3, 5).ids);
  EXPECT_NE(writer.write(1, 3, 5).ids, writer.write(1, 3, 6).ids);
  // Over many exposures all templates of every sentence appear about equally often.
  std::map<std::vector<int32_t>, int> first_sentences;
  for (uint64_t exposure = 0; exposure < 4800; ++exposure) {
    const Biography b = writer.write(1, 3, exposure);
    const auto period = std::find(b.ids.begin(), b.ids.end(), 1);
    ++first_sentences[std::vector<int32_t>(b.ids.begin(), period)];
  }
  EXPECT_EQ(first_sentences.size(), kTemplates);
  for (const auto& [ids, count] : first_sentences) EXPECT_NEAR(count, 100, 50);
}

TEST(Capacity, CountsBitsOfWhatIsKnown) {
  // A model that guesses uniformly knows nothing.
  KnowledgeLoss loss = {1000, std::log(kPossibleNames), std::log(kPossibleAttributes)};
  EXPECT_NEAR(known_bits(loss), 0, 1e-6);
  // Each nat less per person is log2(e) bits each, on names and on attributes alike.
  loss.attribute_nats -= 1;
  EXPECT_NEAR(known_bits(loss), 1000 / std::log(2.0), 1e-6);
  loss.name_nats -= 2;
  EXPECT_NEAR(known_bits(loss), 3000 / std::log(2.0), 1e-6);
  // All attributes, and names up to which of the people it is, are all that can be known.
  EXPECT_NEAR(known_bits({1000, std::log(1000.0), 0}), knowable_bits(1000), 1e-6);
  EXPECT_NEAR(knowable_bits(1), 27.25 + 47.59, 0.01);
  EXPECT_NEAR(knowable_bits(20000), 20000 * (27.25 - std::log2(20000) + 47.59), 200);
}

}  // namespace
}  // namespace looplm
