// The pieces that JSON texts are made of, as expressions.
//
// White space: none, one space, or one or two line ends and up to 20 spaces or tabs, so that a
// model cannot go on with it for ever. Numbers have at most 16 digits in each part for the same
// reason.
#ifndef LOOPLM_GRAMMAR_JSON_PARTS_H_
#define LOOPLM_GRAMMAR_JSON_PARTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "grammar/expression.h"

namespace looplm {

// Of an integer part or a fraction.
constexpr int64_t kMostDigits = 16;

ExpressionPtr json_space();
ExpressionPtr json_comma();  // and the white space behind it
// One character inside a string, also as an escape; a pair of surrogates counts as one.
ExpressionPtr json_string_character();
ExpressionPtr json_string(int64_t least, int64_t most);
ExpressionPtr json_integer();
ExpressionPtr json_number();
// One of these texts; their common beginnings are shared.
ExpressionPtr one_of_texts(std::vector<std::string> texts);
// What json_string_but() refers to, as rules of a grammar, since it does so for each character.
struct StringRest {
  ExpressionPtr any;     // any number of characters inside a string
  ExpressionPtr marked;  // the same, of which the first is escaped or outside of ASCII
};
// `marked` is its first character alone.
StringRest json_string_rest();
// A string in quotes that is none of these keys (given as text, not as JSON).
ExpressionPtr json_string_but(const std::vector<std::string>& keys, const StringRest& rest);

// A bound of a number, and whether the bound itself is left out.
struct NumberBound {
  double value = 0;
  bool exclusive = false;
  // Where it was written as a whole number of 64 bits, but for -2^63; `value` may round it.
  std::optional<int64_t> whole{};
};
struct NumberRange {
  std::optional<NumberBound> least{};
  std::optional<NumberBound> most{};
};
// Match nothing where the range is empty, and no exponents where a bound is given. Fail with
// kUnsupported where the numbers would have too many digits: above 2^63 and 10^18, or a bound of
// more than 16 digits behind the point.
Result<ExpressionPtr> json_integer_in(const NumberRange& range);
Result<ExpressionPtr> json_number_in(const NumberRange& range);
// Multiples of `factor`, which is above 0; `whole` leaves integers alone. A factor of two places
// behind the point makes numbers of exactly two. Adds a rule per remainder to the grammar; fails
// with kUnsupported where these are too many.
Result<ExpressionPtr> json_multiples_in(const NumberRange& range, double factor, bool whole,
                                        Grammar& grammar);

// One of JSON Schema's formats, without quotes and escapes: date, time, date-time, duration, email,
// hostname, ipv4, ipv6, uuid, uri, uri-reference, uri-template, iri, iri-reference, idn-email,
// idn-hostname (these four in ASCII), json-pointer, relative-json-pointer. Null for others.
struct TextFormat {
  ExpressionPtr text;
  bool whole = false;  // all that the standard allows, not only what is usual
};
TextFormat text_format(const std::string& name);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_JSON_PARTS_H_
