#include "chat/jinja/text.h"

namespace looplm::jinja {

void Text::append(std::string_view bytes, Marks marks) {
  if (bytes.empty()) return;
  if (!bytes_.empty() && marks != last_) runs_.push_back({bytes_.size(), last_});
  last_ = marks;
  bytes_ += bytes;
}

void Text::append(const Text& other, size_t from, size_t to) {
  other.for_each_run(from, to, [&](std::string_view part, Marks marks) { append(part, marks); });
}

void Text::mark(Marks marks) {
  for (Run& run : runs_) run.marks |= marks;
  last_ |= marks;
}

}  // namespace looplm::jinja
