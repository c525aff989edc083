// Which tokens may come next: a grammar, a schema, a list of choices.
#ifndef LOOPLM_CONSTRAINT_H_
#define LOOPLM_CONSTRAINT_H_

#include <cstdint>
#include <span>

namespace looplm {

// The state of one text that is being generated. Decoding accepts tokens that it may have to take
// back: a token of an early loop is provisional until the last loop has confirmed it.
//
// The mask applies to every choice, after every loop; it is asked for once per place of the output,
// and again when a token before that place has changed. Log-probabilities that are reported are
// those of the model, as if there were no constraint. All calls come from Engine::step().
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Clears the bit of every token that may not follow those accepted. `allowed` has one bit per
  // token id of the vocabulary, id i at bit i % 32 of word i / 32, and all of them are set. Tokens
  // that end the text are like any other: a text that may end allows them. When no token is left
  // the request ends with an error.
  virtual void mask(std::span<uint32_t> allowed) = 0;
  virtual void accept(int32_t token) = 0;
  // Takes back the last `count` tokens accepted.
  virtual void forget(int64_t count) = 0;
  // Whether nothing may follow: the text then ends after the last token accepted, as if it stopped.
  virtual bool finished() const = 0;
};

// A bit set of the words that mask() gets.
inline bool allows(std::span<const uint32_t> allowed, int32_t token) {
  return ((allowed[static_cast<size_t>(token) / 32] >> (static_cast<uint32_t>(token) % 32)) & 1u) !=
         0;
}
inline void forbid(std::span<uint32_t> allowed, int32_t token) {
  allowed[static_cast<size_t>(token) / 32] &= ~(1u << (static_cast<uint32_t>(token) % 32));
}

}  // namespace looplm

#endif  // LOOPLM_CONSTRAINT_H_
