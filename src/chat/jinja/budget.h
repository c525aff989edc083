// What one rendering may cost, and how it fails. Templates come with model files and conversations
// from strangers: either may ask for endless work or memory.
#ifndef LOOPLM_CHAT_JINJA_BUDGET_H_
#define LOOPLM_CHAT_JINJA_BUDGET_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "chat/jinja/text.h"

namespace looplm::jinja {

// Thrown inside the engine; Program turns it into a Status with the line in front.
struct Failure {
  std::string message;
};
[[noreturn]] inline void fail(std::string message) { throw Failure{std::move(message)}; }

// Containers, expressions and calls may nest this deep; recursion over them stays on the stack.
inline constexpr int kMaxDepth = 200;
inline constexpr int kMaxActiveNodes = 1500;  // nodes being evaluated at once, macros included

class Budget {
 public:
  Budget(size_t steps, size_t bytes) : steps_(steps), bytes_(bytes) {}

  // Work: about one per node evaluated, item visited or 64 bytes looked at.
  void step(size_t count = 1) {
    if (count > steps_) fail("the template takes too many steps");
    steps_ -= count;
  }
  // Memory: all that is ever made counts, freed or not.
  void allocate(size_t bytes) {
    if (bytes > bytes_) fail("the template makes too much text");
    bytes_ -= bytes;
    step(bytes / 64);
  }
  // `count` pieces of `size` bytes, where the product may not fit.
  void allocate(size_t count, size_t size) {
    if (size > 0 && count > bytes_ / size) fail("the template makes too much text");
    allocate(count * size);
  }

 private:
  size_t steps_;
  size_t bytes_;
};

// Makes a text within the budget.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(&budget) {}

  Budget& budget() { return *budget_; }
  void append(std::string_view bytes, Marks marks) {
    budget_->allocate(bytes.size());
    text_.append(bytes, marks);
  }
  void append(const Text& text, size_t from, size_t to) {
    budget_->allocate(to - from);
    text_.append(text, from, to);
  }
  void append(const Text& text) { append(text, 0, text.size()); }
  void repeat(std::string_view bytes, size_t count, Marks marks) {
    budget_->allocate(count, bytes.size());
    std::string all;
    all.reserve(count * bytes.size());
    for (size_t i = 0; i < count; ++i) all += bytes;
    text_.append(all, marks);
  }
  size_t size() const { return text_.size(); }
  Text take() { return std::move(text_); }

 private:
  Budget* budget_;
  Text text_;
};

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_BUDGET_H_
