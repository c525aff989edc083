// The words that biographies are made of.
#ifndef LOOPLM_EXPERIMENTS_CAPO_TEMPLATES_H_
#define LOOPLM_EXPERIMENTS_CAPO_TEMPLATES_H_

#include <array>

namespace looplm::biography_words {

inline constexpr std::array kStarts = {"Ada", "Be",  "Cori", "Du",  "Eli", "Fa",  "Gre", "Ho",
                                       "Ila", "Ju",  "Ka",   "Lu",  "Mo",  "Na",  "Ori", "Pe",
                                       "Qua", "Ro",  "Sa",   "Te",  "Ula", "Ve",  "Wi",  "Xa",
                                       "Yo",  "Ze",  "Bra",  "Cle", "Dri", "Flo", "Gla", "Hea",
                                       "Kne", "Lia", "Mea",  "Pra", "Sho", "Tru", "Vla", "Wre"};
inline constexpr std::array kEnds = {"ban",  "cel",  "dor",   "fin",  "gus",  "han", "jin",
                                     "kel",  "lon",  "mir",   "nas",  "pol",  "rin", "sen",
                                     "tor",  "van",  "wel",   "xis",  "yard", "zen", "bury",
                                     "ford", "mond", "stead", "ville"};
inline constexpr std::array kMonthNames = {"January",   "February", "March",    "April",
                                           "May",       "June",     "July",     "August",
                                           "September", "October",  "November", "December"};
inline constexpr std::array kPronouns = {"He", "She"};

// A template is an opening, the value, and a closing: every opening goes with every closing. After
// an opening comes always the value, never a word of a longer opening, so that no doubt about the
// sentence's form is counted as doubt about the value.
struct Phrases {
  std::array<const char*, 8> openings;
  std::array<const char*, 6> closings;
};

// In the order of Sentence. A sentence's subject is the name in the first, the pronoun elsewhere.
inline constexpr std::array<Phrases, 6> kPhrases = {{
    {{"was born on", "came into the world on", "entered life on", "first saw light on",
      "has a birthday on", "took a first breath on", "arrived on", "joined the family on"},
     {"", "at dawn", "at night", "at home", "as records say", "in peace"}},
    {{"was born in", "comes from", "grew up in", "was raised in", "is a native of",
      "spent childhood in", "first lived in", "has family in"},
     {"", "as a child", "for years", "by the river", "among friends", "in peace"}},
    {{"studied at", "went to", "graduated from", "attended", "took classes at", "was taught at",
      "spent student years at", "has a degree from"},
     {"", "with honors", "for years", "after school", "among friends", "on a grant"}},
    {{"majored in", "focused on", "chose the field of", "wrote a thesis on", "took a degree in",
      "was trained in", "is an expert on", "read"},
     {"", "with honors", "for years", "after school", "with care", "by choice"}},
    {{"works in", "found work in", "moved for work to", "took a job in", "built a career in",
      "has an office in", "is employed in", "earns a living in"},
     {"", "for years", "by choice", "these days", "with care", "after school"}},
    {{"works for", "is employed by", "joined", "serves", "has a job at", "earns a living at",
      "is paid by", "was hired by"},
     {"", "for years", "by choice", "these days", "with care", "among friends"}},
}};

}  // namespace looplm::biography_words

#endif  // LOOPLM_EXPERIMENTS_CAPO_TEMPLATES_H_
