// Numbers as people write them.
#ifndef LOOPLM_EVAL_NUMBERS_H_
#define LOOPLM_EVAL_NUMBERS_H_

#include <string>
#include <string_view>
#include <vector>

namespace looplm {

// Reads digits, marks between thousands, a decimal point and an exponent at `at`, which holds a
// digit or a point before one. "{,}", "\,", ",\!" and thin spaces are marks between thousands; so
// is
// "," where `commas` says so. Returns the end; `digits` gets what from_chars understands.
size_t scan_number(std::string_view text, size_t at, bool commas, std::string& digits);

// A number within a text: optional sign and currency mark in either order ("-$5", "$-5"), digits
// as above. Signs count where no letter, digit or closing bracket stands before ("5-3" holds 5 and
// 3). A point or comma that ends a sentence is no part of it. Numbers that no double can hold are
// left out.
struct FoundNumber {
  double value = 0;
  size_t begin = 0;
  size_t end = 0;
};
std::vector<FoundNumber> numbers_in(std::string_view text);

}  // namespace looplm

#endif  // LOOPLM_EVAL_NUMBERS_H_
