#include "experiments/capo/biography.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "experiments/capo/templates.h"

namespace looplm {
namespace {

namespace words = biography_words;

// Streams of random numbers of a world; a person's attributes are drawn from the one of the index
// itself.
constexpr uint64_t kNameStream = uint64_t{1} << 61;
constexpr uint64_t kTemplateStream = uint64_t{2} << 61;
constexpr uint64_t kOrderStream = uint64_t{3} << 61;  // the exposure is added

// Where the values of a list lie in the grid of beginnings and endings: value i is beginning
// `start + i % starts` with ending `end + i / starts`.
struct WordGrid {
  uint32_t values;
  uint32_t start, starts;
  uint32_t end;
};
constexpr WordGrid kFirstNameGrid = {kFirstNames, 0, 20, 0};
constexpr WordGrid kMiddleNameGrid = {kMiddleNames, 20, 20, 0};
constexpr WordGrid kLastNameGrid = {kLastNames, 0, 40, 0};
constexpr WordGrid kCityGrid = {kCities, 0, 20, 15};
constexpr WordGrid kUniversityGrid = {kUniversities, 10, 20, 10};
constexpr WordGrid kMajorGrid = {kMajors, 20, 10, 0};
constexpr WordGrid kEmployerGrid = {kEmployers, 20, 20, 8};

constexpr bool fits(const WordGrid& grid) {
  const uint32_t ends = (grid.values + grid.starts - 1) / grid.starts;
  return grid.start + grid.starts <= words::kStarts.size() &&
         grid.end + ends <= words::kEnds.size();
}
static_assert(fits(kFirstNameGrid) && fits(kMiddleNameGrid) && fits(kLastNameGrid) &&
              fits(kCityGrid) && fits(kUniversityGrid) && fits(kMajorGrid) && fits(kEmployerGrid));

constexpr uint32_t kFirstYear = 1900;

}  // namespace

Person person(uint64_t seed, uint64_t index) {
  Person p;
  uint64_t name =
      permuted(seed, kNameStream, index, uint64_t{kFirstNames} * kMiddleNames * kLastNames);
  p.first_name = static_cast<uint32_t>(name % kFirstNames);
  name /= kFirstNames;
  p.middle_name = static_cast<uint32_t>(name % kMiddleNames);
  p.last_name = static_cast<uint32_t>(name / kMiddleNames);
  Rng rng(seed, index);
  p.gender = rng.below(kGenders);
  p.month = rng.below(kMonths);
  p.day = rng.below(kDays);
  p.year = rng.below(kYears);
  p.city = rng.below(kCities);
  p.university = rng.below(kUniversities);
  p.major = rng.below(kMajors);
  p.employer = rng.below(kEmployers);
  return p;
}

uint32_t employer_city(uint32_t employer) {
  LOOPLM_CHECK(employer < kEmployers);
  return Rng(kEmployers, employer).below(kCities);
}

int32_t BiographyWriter::add_token(std::string text, Join join) {
  tokens_.push_back({std::move(text), join});
  return vocab_size() - 1;
}

void BiographyWriter::add_words(const char* phrase, std::vector<int32_t>& ids) {
  const std::string text = phrase;
  for (size_t from = 0; from < text.size();) {
    const size_t to = std::min(text.find(' ', from), text.size());
    const std::string word = text.substr(from, to - from);
    // Words stand after everything else, so that "May" and "may" could not be confused.
    const auto known = std::find_if(tokens_.begin() + pronouns_, tokens_.end(),
                                    [&](const Token& token) { return token.text == word; });
    ids.push_back(known == tokens_.end() ? add_token(word, Join::kSpace)
                                         : static_cast<int32_t>(known - tokens_.begin()));
    from = to + 1;
  }
}

BiographyWriter::BiographyWriter() {
  add_token("", Join::kNone);  // id 0 begins every document
  const auto add_all = [&](auto&& texts, Join join) {
    const int32_t first = vocab_size();
    for (const auto& text : texts) add_token(text, join);
    return first;
  };
  const auto numbers = [](uint32_t first, uint32_t count) {
    std::vector<std::string> texts;
    for (uint32_t i = 0; i < count; ++i) texts.push_back(std::to_string(first + i));
    return texts;
  };
  period_ = add_token(".", Join::kNone);
  starts_ = add_all(words::kStarts, Join::kSpace);
  ends_ = add_all(words::kEnds, Join::kNone);
  months_ = add_all(words::kMonthNames, Join::kSpace);
  days_ = add_all(numbers(1, kDays), Join::kSpace);
  decades_ = add_all(numbers(kFirstYear / 10, kYears / 10), Join::kSpace);
  digits_ = add_all(numbers(0, 10), Join::kNone);
  pronouns_ = add_all(words::kPronouns, Join::kSpace);
  for (size_t s = 0; s < words::kPhrases.size(); ++s) {
    for (const char* phrase : words::kPhrases[s].openings) {
      add_words(phrase, openings_[s].emplace_back());
    }
    for (const char* phrase : words::kPhrases[s].closings) {
      add_words(phrase, closings_[s].emplace_back());
    }
    LOOPLM_CHECK(openings_[s].size() * closings_[s].size() == kTemplates);
  }
}

std::vector<int32_t> BiographyWriter::opening(Sentence sentence, uint32_t template_index) const {
  const auto& all = openings_[static_cast<size_t>(sentence)];
  return all[template_index % all.size()];
}

std::vector<int32_t> BiographyWriter::closing(Sentence sentence, uint32_t template_index) const {
  const auto& all = closings_[static_cast<size_t>(sentence)];
  return all[template_index / openings_[static_cast<size_t>(sentence)].size()];
}

void BiographyWriter::add_value(Sentence sentence, const Person& p, Biography& biography) const {
  const auto add = [&](int32_t id) {
    biography.ids.push_back(id);
    biography.roles.push_back(TokenRole::kAttribute);
  };
  const auto add_from = [&](const WordGrid& grid, uint32_t value) {
    add(starts_ + static_cast<int32_t>(grid.start + value % grid.starts));
    add(ends_ + static_cast<int32_t>(grid.end + value / grid.starts));
  };
  switch (sentence) {
    case Sentence::kBirthDate:
      add(months_ + static_cast<int32_t>(p.month));
      add(days_ + static_cast<int32_t>(p.day));
      add(decades_ + static_cast<int32_t>(p.year / 10));
      add(digits_ + static_cast<int32_t>(p.year % 10));
      break;
    case Sentence::kBirthCity:
      add_from(kCityGrid, p.city);
      break;
    case Sentence::kUniversity:
      add_from(kUniversityGrid, p.university);
      break;
    case Sentence::kMajor:
      add_from(kMajorGrid, p.major);
      break;
    case Sentence::kEmployerCity:
      add_from(kCityGrid, employer_city(p.employer));
      break;
    case Sentence::kEmployer:
      add_from(kEmployerGrid, p.employer);
      break;
  }
}

Biography BiographyWriter::write(const Person& p,
                                 const std::array<uint32_t, kSentences>& templates) const {
  Biography biography;
  const auto add = [&](int32_t id, TokenRole role) {
    biography.ids.push_back(id);
    biography.roles.push_back(role);
  };
  const auto add_name = [&](const WordGrid& grid, uint32_t value) {
    add(starts_ + static_cast<int32_t>(grid.start + value % grid.starts), TokenRole::kName);
    add(ends_ + static_cast<int32_t>(grid.end + value / grid.starts), TokenRole::kName);
  };
  add(0, TokenRole::kText);
  add_name(kFirstNameGrid, p.first_name);
  add_name(kMiddleNameGrid, p.middle_name);
  add_name(kLastNameGrid, p.last_name);
  for (int i = 0; i < kSentences; ++i) {
    const auto sentence = static_cast<Sentence>(i);
    const uint32_t chosen = templates[static_cast<size_t>(i)];
    LOOPLM_CHECK(chosen < kTemplates);
    if (sentence != Sentence::kBirthDate) {
      // Only the first pronoun tells something that was not said before.
      add(pronouns_ + static_cast<int32_t>(p.gender),
          sentence == Sentence::kBirthCity ? TokenRole::kAttribute : TokenRole::kText);
    }
    for (int32_t id : opening(sentence, chosen)) add(id, TokenRole::kText);
    add_value(sentence, p, biography);
    for (int32_t id : closing(sentence, chosen)) add(id, TokenRole::kText);
    add(period_, TokenRole::kText);
  }
  return biography;
}

Biography BiographyWriter::write(uint64_t seed, uint64_t index, uint64_t exposure) const {
  // A stream for each person; an exposure takes its own block of the stream's numbers.
  std::array<uint32_t, kSentences> templates{};
  for (size_t i = 0; i < templates.size(); ++i) {
    const uint32_t bits = philox(seed, kTemplateStream + index, exposure * kSentences + i)[0];
    templates[i] = static_cast<uint32_t>((uint64_t{bits} * kTemplates) >> 32);
  }
  return write(person(seed, index), templates);
}

std::string BiographyWriter::text(const std::vector<int32_t>& ids) const {
  std::string text;
  for (int32_t id : ids) {
    const Token& token = tokens_.at(static_cast<size_t>(id));
    if (token.join == Join::kSpace && !text.empty()) text += ' ';
    text += token.text;
  }
  return text;
}

// A Feistel network over the smallest even number of bits that holds `size` is a bijection of that
// power of two; walking on until the value is below `size` makes it one of 0 .. size - 1 (Black and
// Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). The walk takes under four steps on
// average, since the power is at most four times the size.
uint64_t permuted(uint64_t seed, uint64_t stream, uint64_t index, uint64_t size) {
  LOOPLM_CHECK(index < size && size <= uint64_t{1} << 60, "index {} of {}", index, size);
  constexpr uint64_t kRounds = 6;
  const int half = (std::bit_width(size - 1) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  uint64_t value = index;
  do {
    uint64_t left = value >> half;
    uint64_t right = value & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (philox(seed, stream, (round << 32) | right)[0] & mask);
      left = right;
      right = mixed;
    }
    value = (left << half) | right;
  } while (value >= size);
  return value;
}

uint64_t BiographyStream::hash() const {
  std::vector<uint64_t> all = {seed_, people_};
  // The words and the templates, so that a run does not go on after they have changed.
  std::vector<int32_t> tokens(static_cast<size_t>(writer_.vocab_size()));
  std::iota(tokens.begin(), tokens.end(), 0);
  const std::string words = writer_.text(tokens);
  all.insert(all.end(), words.begin(), words.end());
  for (int s = 0; s < kSentences; ++s) {
    for (uint32_t i = 0; i < kTemplates; ++i) {
      for (const auto& ids : {writer_.opening(static_cast<Sentence>(s), i),
                              writer_.closing(static_cast<Sentence>(s), i)}) {
        all.insert(all.end(), ids.begin(), ids.end());
      }
    }
  }
  return fnv1a(all);
}

uint64_t BiographyStream::person_index(uint64_t document) const {
  return permuted(seed_, kOrderStream + document / people_, document % people_, people_);
}

void BiographyStream::document(uint64_t index, std::vector<int32_t>& ids,
                               std::vector<bool>& learnt) const {
  Biography biography = writer_.write(seed_, person_index(index), index / people_);
  ids = std::move(biography.ids);
  learnt.assign(ids.size(), true);
  learnt.front() = false;
}

}  // namespace looplm
