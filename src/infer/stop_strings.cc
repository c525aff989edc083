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

StopStrings::View StopStrings::view(bool with_special) const {
  View view;
  for (size_t i = 0; i < held_.size(); ++i) {
    if (!with_special && places_[i] != kShown) continue;
    view.text += held_[i];
    view.places.push_back(i);
  }
  return view;
}

std::string StopStrings::search() {
  if (stops_.empty()) return take(held_.size());
  std::vector<View> views = {view(true)};
  if (places_.find_first_not_of(kShown) != std::string::npos) views.push_back(view(false));
  size_t stop_at = std::string::npos, stop_end = std::string::npos;
  size_t keep_from = held_.size();  // where the longest suffix begins that begins a stop string
  for (const View& v : views) {
    for (const std::string& stop : stops_) {
      for (size_t at = v.text.find(stop); at != std::string::npos; at = v.text.find(stop, at + 1)) {
        const size_t begin = v.places[at];
        const size_t end = v.places[at + stop.size() - 1] + 1;
        if (splits_special(begin) || splits_special(end)) continue;
        if (end < stop_end || (end == stop_end && begin < stop_at)) {
          stop_at = begin;
          stop_end = end;
        }
        break;
      }
      for (size_t n = std::min(stop.size() - 1, v.text.size()); n > 0; --n) {
        const size_t begin = v.places[v.text.size() - n];
        if (begin >= keep_from) continue;
        if (v.text.compare(v.text.size() - n, n, stop, 0, n) == 0 && !splits_special(begin)) {
          keep_from = begin;
        }
      }
    }
  }
  if (stop_at == std::string::npos) return take(keep_from);
  stopped_ = true;
  std::string shown = take(stop_at);
  take(held_.size());
  return shown;
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
