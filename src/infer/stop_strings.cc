#include "infer/stop_strings.h"

#include <algorithm>
#include <utility>

namespace looplm {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopStrings::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  places_.append(text.size(), kShown);
  return search();
}

std::string StopStrings::push_special(std::string_view text) {
  if (stopped_ || text.empty()) return {};
  held_ += text;
  places_ += kSpecialBegin;
  places_.append(text.size() - 1, kSpecialRest);
  return search();
}

std::string StopStrings::search() {
  size_t stop_at = std::string::npos, stop_end = std::string::npos;
  for (const std::string& stop : stops_) {
    size_t at = held_.find(stop);
    while (at != std::string::npos && (splits_special(at) || splits_special(at + stop.size()))) {
      at = held_.find(stop, at + 1);
    }
    if (at == std::string::npos) continue;
    const size_t end = at + stop.size();
    if (end < stop_end || (end == stop_end && at < stop_at)) {
      stop_at = at;
      stop_end = end;
    }
  }
  if (stop_at != std::string::npos) {
    stopped_ = true;
    std::string shown = take(stop_at);
    take(held_.size());
    return shown;
  }
  // The longest suffix that begins a stop string stays.
  size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      const size_t at = held_.size() - n;
      if (held_.compare(at, n, stop, 0, n) == 0 && !splits_special(at)) keep = n;
    }
  }
  return take(held_.size() - keep);
}

std::string StopStrings::take(size_t size) {
  std::string shown;
  for (size_t i = 0; i < size; ++i) {
    if (places_[i] == kShown) shown += held_[i];
  }
  held_.erase(0, size);
  places_.erase(0, size);
  return shown;
}

std::string StopStrings::finish() { return take(held_.size()); }

}  // namespace looplm
