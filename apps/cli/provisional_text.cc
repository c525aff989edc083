#include "cli/provisional_text.h"

#include "cli/token_text.h"

namespace looplm::cli {

std::string ProvisionalText::erase() {
  if (!drawn_) return {};
  drawn_ = false;
  return "\x1b"
         "8\x1b[0J";  // back to the saved place, and clear what follows
}

std::string ProvisionalText::redraw() {
  if (ids_.empty()) return {};
  // One line without controls: a line break would scroll the saved place away.
  std::string text = cli::quoted(tokenizer_.decode(ids_));
  text = text.substr(1, text.size() - 2);
  drawn_ = true;
  return "\x1b"
         "7\x1b[2m" +
         text + "\x1b[0m";
}

std::string ProvisionalText::propose(const ProvisionalToken& token) {
  if (token.index < first_) return {};
  std::string out = erase();
  ids_.resize(static_cast<size_t>(token.index - first_));
  ids_.push_back(token.id);
  return out + redraw();
}

std::string ProvisionalText::confirm() {
  if (!ids_.empty()) ids_.erase(ids_.begin());
  ++first_;
  return erase();
}

}  // namespace looplm::cli
