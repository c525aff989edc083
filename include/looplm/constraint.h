// Which tokens may come next: a grammar, a schema, a list of choices.
#ifndef LOOPLM_CONSTRAINT_H_
#define LOOPLM_CONSTRAINT_H_

#include <cstdint>
#include <span>
#include <string>

namespace looplm {

// The state of one text that is being generated. Decoding accepts tokens that it may take back
// later: a token of an early loop is provisional until the last loop has confirmed it.
//
// The mask applies to every choice, after every loop. The engine asks for it once per place of the
// output, and again when an earlier token has changed. Reported log-probabilities are those of the
// model without a constraint. All calls come from Engine::step().
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Clears the bit of every token that may not follow the accepted ones. `allowed` has one bit per
  // token id of the vocabulary: id i is bit i % 32 of word i / 32. All bits are set at first.
  // Tokens that end the text are like any other: allow them if the text may end. If no token is
  // left, the request ends with an error.
  virtual void mask(std::span<uint32_t> allowed) = 0;
  virtual void accept(int32_t token) = 0;
  // Takes back the last `count` tokens accepted.
  virtual void forget(int64_t count) = 0;
  // Whether nothing may follow. The text then ends after the last accepted token, as at a stop.
  virtual bool finished() const = 0;
  // Why mask() left no token, where there is more to say; stands in the request's error.
  virtual std::string why_none() const { return ""; }
};

// Read and clear a token's bit in the words that mask() gets.
inline bool allows(std::span<const uint32_t> allowed, int32_t token) {
  return ((allowed[static_cast<size_t>(token) / 32] >> (static_cast<uint32_t>(token) % 32)) & 1u) !=
         0;
}
inline void forbid(std::span<uint32_t> allowed, int32_t token) {
  allowed[static_cast<size_t>(token) / 32] &= ~(1u << (static_cast<uint32_t>(token) % 32));
}

}  // namespace looplm

#endif  // LOOPLM_CONSTRAINT_H_
