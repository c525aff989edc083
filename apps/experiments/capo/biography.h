// bioS(N): N invented people and their biographies, after "Physics of Language Models" part 3 as
// the looped models' paper uses it (arXiv:2510.25741, section 6.1 and appendix B.1).
//
//   Kadoran Velmish Torsin was born on March 7 1984 at dawn. She grew up in Hemlond. She studied at
//   ...
//
// Everybody has a name, a gender, a birth date, a birth city, a university, a major and an
// employer, all drawn uniformly; names are unique. The employer's city is a function of the
// employer. The numbers of possible values are the paper's; the values and the sentences are our
// own.
//
// A biography is six sentences in this order, each drawn from 48 templates: birth date (with the
// name), birth city, university, major, employer's city, employer. The pronoun that opens the
// second sentence is where the gender is told.
#ifndef LOOPLM_EXPERIMENTS_CAPO_BIOGRAPHY_H_
#define LOOPLM_EXPERIMENTS_CAPO_BIOGRAPHY_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "looplm/train.h"

namespace looplm {

inline constexpr uint32_t kFirstNames = 400;
inline constexpr uint32_t kMiddleNames = 400;
inline constexpr uint32_t kLastNames = 1000;
inline constexpr uint32_t kGenders = 2;
inline constexpr uint32_t kMonths = 12;
inline constexpr uint32_t kDays = 28;
inline constexpr uint32_t kYears = 200;  // 1900 to 2099
inline constexpr uint32_t kCities = 200;
inline constexpr uint32_t kUniversities = 300;
inline constexpr uint32_t kMajors = 100;
inline constexpr uint32_t kEmployers = 263;

// N0: possible names.
inline constexpr double kPossibleNames = double{kFirstNames} * kMiddleNames * kLastNames;
// S0: possible sets of attributes; about 2^47.6.
inline constexpr double kPossibleAttributes =
    double{kGenders} * kMonths * kDays * kYears * kCities * kUniversities * kMajors * kEmployers;

// Indices into the lists of values.
struct Person {
  uint32_t first_name = 0;
  uint32_t middle_name = 0;
  uint32_t last_name = 0;
  uint32_t gender = 0;
  uint32_t month = 0;
  uint32_t day = 0;
  uint32_t year = 0;
  uint32_t city = 0;
  uint32_t university = 0;
  uint32_t major = 0;
  uint32_t employer = 0;

  bool operator==(const Person&) const = default;
};

// A pure function of seed and index. No two indices below kPossibleNames share a name.
Person person(uint64_t seed, uint64_t index);

// The city of an employer, the same in every world.
uint32_t employer_city(uint32_t employer);

// Sentences of a biography, in order.
enum class Sentence { kBirthDate, kBirthCity, kUniversity, kMajor, kEmployerCity, kEmployer };
inline constexpr int kSentences = 6;
inline constexpr uint32_t kTemplates = 48;  // of each sentence

// What a token tells.
enum class TokenRole : uint8_t { kText, kName, kAttribute };

struct Biography {
  std::vector<int32_t> ids;
  std::vector<TokenRole> roles;  // of each id
};

// Tokens are words. A value is two tokens, a beginning and an ending of a word, from a grid that
// all lists share (a date is a month, a day, a decade and a digit). One token for each value would
// need 2,900 tokens, several times the parameters of the models studied; and grids mean that the
// lists themselves cost next to nothing to learn, as at the paper's scale. Capacity sums nats over
// all tokens of a value, so that it does not depend on the cut.
class BiographyWriter {
 public:
  BiographyWriter();

  int32_t vocab_size() const { return static_cast<int32_t>(tokens_.size()); }
  // The biography of a person with the given template (below kTemplates) for each sentence.
  Biography write(const Person& person, const std::array<uint32_t, kSentences>& templates) const;
  // With templates drawn for (seed, index of the person, exposure).
  Biography write(uint64_t seed, uint64_t index, uint64_t exposure) const;
  std::string text(const std::vector<int32_t>& ids) const;

  // The words of a template before and after the value; for tests of their form.
  std::vector<int32_t> opening(Sentence sentence, uint32_t template_index) const;
  std::vector<int32_t> closing(Sentence sentence, uint32_t template_index) const;

 private:
  enum class Join : uint8_t { kSpace, kNone };  // with the token before
  struct Token {
    std::string text;
    Join join = Join::kSpace;
  };
  int32_t add_token(std::string text, Join join);
  void add_words(const char* phrase, std::vector<int32_t>& ids);
  void add_value(Sentence sentence, const Person& person, Biography& biography) const;

  std::vector<Token> tokens_;
  int32_t period_ = 0;
  int32_t starts_ = 0;  // first of the beginnings of words
  int32_t ends_ = 0;    // first of the endings
  int32_t months_ = 0;
  int32_t days_ = 0;
  int32_t decades_ = 0;
  int32_t digits_ = 0;
  int32_t pronouns_ = 0;
  std::array<std::vector<std::vector<int32_t>>, kSentences> openings_;
  std::array<std::vector<std::vector<int32_t>>, kSentences> closings_;
};

// Where `index` (below `size`) goes in a permutation of 0 .. size - 1 that (seed, stream) choose.
// size: 1 to 2^60.
uint64_t permuted(uint64_t seed, uint64_t stream, uint64_t index, uint64_t size);

// In each exposure all people once, in an order of its own.
class BiographyStream : public DocumentStream {
 public:
  BiographyStream(uint64_t seed, uint64_t people) : seed_(seed), people_(people) {}

  int64_t vocab_size() const override { return writer_.vocab_size(); }
  uint64_t hash() const override;
  void document(uint64_t index, std::vector<int32_t>& ids,
                std::vector<bool>& learnt) const override;

  // Whose biography the document is.
  uint64_t person_index(uint64_t document) const;
  const BiographyWriter& writer() const { return writer_; }

 private:
  BiographyWriter writer_;
  uint64_t seed_;
  uint64_t people_;
};

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CAPO_BIOGRAPHY_H_
