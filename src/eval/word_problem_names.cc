#include "eval/word_problem_names.h"

#include <algorithm>
#include <cctype>
#include <span>

namespace looplm {
namespace {

// Whatever names are spelled with: a model learns to copy no piece that it was not shown.
constexpr std::string_view kOnsets[] = {"b", "d", "f",  "h",  "j",  "k",  "l",  "m",  "n",  "p",
                                        "r", "s", "t",  "v",  "z",  "br", "dr", "kr", "ch", "sh",
                                        "w", "y", "st", "fr", "cl", "pl", "tr", "bl", "g",  "c",
                                        "g", "c", "th", "gr", "cr", "gl", "ph", "qu", "fl", "sp"};
constexpr std::string_view kVowels[] = {"a",  "e",  "i",  "o",  "u",  "a",  "e",
                                        "i",  "o",  "ai", "ia", "ee", "ie", "ei",
                                        "ea", "au", "oe", "io", "oo", "y",  "eo"};
constexpr std::string_view kInnerCodas[] = {"",   "",   "",   "",   "",  "n", "l", "r",
                                            "s",  "m",  "t",  "l",  "n", "s", "r", "c",
                                            "nd", "rt", "ck", "ng", "x", "d", "b", "p"};
constexpr std::string_view kDoubles[] = {"tt", "ll", "nn", "ss", "rr", "mm", "pp", "ff", "dd"};
constexpr std::string_view kNameEnds[] = {"",  "",  "",  "",  "n", "l",  "r",  "s",  "m",
                                          "k", "t", "d", "a", "o", "ce", "ne", "ly", "x"};
constexpr std::string_view kWideNameEnds[] = {
    "",   "n",  "r",  "s",  "ke", "le", "te",  "de",  "ge",  "ve",   "ry",  "ey", "th", "sh", "ck",
    "nd", "st", "an", "en", "in", "on", "ian", "ina", "ell", "ette", "ard", "us", "is", "ah", "er"};
// Words of the stories that these syllables spell.
constexpr std::string_view kNoNames[] = {
    "He",   "She", "Her", "His", "Him",  "Has",  "We",   "Me",   "My",  "Do",  "To", "So",
    "No",   "Now", "A",   "I",   "At",   "An",   "As",   "Is",   "Am",  "It",  "In", "On",
    "Or",   "Us",  "All", "The", "Than", "That", "This", "Then", "Get", "Got", "Go", "Good",
    "Each", "By",  "Be",  "Yes", "Eat",  "Ate",  "Are",  "Did",  "Had", "Can"};
constexpr std::string_view kThingEnds[] = {"n", "l",  "r",  "t",  "k", "p",
                                           "m", "ll", "nd", "rt", "le"};

// One to three syllables without the end of the last one.
std::string made_up_word(int syllables, Rng& rng) {
  const auto any = [&](std::span<const std::string_view> list) {
    return list[rng.below(static_cast<uint32_t>(list.size()))];
  };
  std::string word(any(kOnsets));
  word += any(kVowels);
  for (int i = 1; i < syllables; ++i) {
    if (rng.below(5) == 0) {
      word += any(kDoubles);
    } else {
      word += any(kInnerCodas);
      word += any(kOnsets);
    }
    word += any(kVowels);
  }
  return word;
}

PersonName made_up_name(std::span<const std::string_view> ends, Rng& rng) {
  for (;;) {
    const uint32_t length = rng.below(8);
    std::string name = made_up_word(length < 2 ? 1 : length < 7 ? 2 : 3, rng);
    if (rng.below(5) == 0) name.erase(0, name.find_first_of("aeiou"));  // "Igor", "Otto"
    name += ends[rng.below(static_cast<uint32_t>(ends.size()))];
    name[0] = static_cast<char>(std::toupper(name[0]));
    const auto is_it = [&](const ProblemName& listed) { return listed.name == name; };
    if (std::ranges::any_of(held_out_names(), is_it)) continue;
    if (std::ranges::find(kNoNames, name) != std::end(kNoNames)) continue;
    return {std::move(name), rng.below(2) == 0};
  }
}

}  // namespace

PersonName draw_name(const WordProblemOptions& options, Rng& rng) {
  const bool wide = options.wording == WordProblemWording::kWide;
  if (options.made_up > 0 && rng.below(static_cast<uint32_t>(options.made_up)) == 0) {
    return made_up_name(wide ? std::span<const std::string_view>(kWideNameEnds) : kNameEnds, rng);
  }
  if (options.split == WordProblemSplit::kHeldOut) {
    const auto names = held_out_names();
    return name_of(names[rng.below(static_cast<uint32_t>(names.size()))]);
  }
  if (wide && options.names == 0 && rng.below(2) == 0) {
    return name_of(more_names()[rng.below(static_cast<uint32_t>(more_names().size()))]);
  }
  auto names = problem_names();
  if (options.names > 0) names = names.first(static_cast<size_t>(options.names));
  const float u = rng.uniform();
  return name_of(names[static_cast<size_t>(u * u * static_cast<float>(names.size()))]);
}

std::string made_up_things(Rng& rng) {
  std::string things = made_up_word(rng.below(4) == 0 ? 3 : 2, rng);
  things += kThingEnds[rng.below(std::size(kThingEnds))];
  return things + 's';
}

}  // namespace looplm
