#include "infer/stop_strings.h"

#include <algorithm>
#include <utility>

namespace looplm {

StopStrings::StopStrings(std::vector<std::string> stops, StopFree free)
    : stops_(std::move(stops)),
      free_(std::move(free)),
      state_(free_.end.empty() ? State::kSearched
             : free_.begun     ? State::kFree
                               : State::kMayBeFree) {
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
  if (state_ == State::kMayBeFree) {
    const std::string text = view(true).text;
    const size_t at = std::min(text.find_first_not_of(" \n\r\t"), text.size());
    const std::string_view rest = std::string_view(text).substr(at);
    if (rest.starts_with(free_.begin)) {
      state_ = State::kFree;
    } else if (std::string_view(free_.begin).starts_with(rest)) {
      return {};
    } else {
      state_ = State::kSearched;
    }
  }
  if (state_ == State::kFree) {
    const View v = view(true);
    const size_t at = v.text.find(free_.end);
    if (at == std::string::npos) return take(begin_of_partial(v, free_.end));
    state_ = State::kSearched;
    std::string shown = take(v.places[at + free_.end.size() - 1] + 1);
    return shown += search_stops();
  }
  return search_stops();
}

size_t StopStrings::begin_of_partial(const View& v, const std::string& wanted) const {
  for (size_t n = std::min(wanted.size() - 1, v.text.size()); n > 0; --n) {
    const size_t begin = v.places[v.text.size() - n];
    if (v.text.compare(v.text.size() - n, n, wanted, 0, n) == 0 && !splits_special(begin)) {
      return begin;
    }
  }
  return held_.size();
}

std::string StopStrings::search_stops() {
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
      keep_from = std::min(keep_from, begin_of_partial(v, stop));
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

std::string StopStrings::finish() {
  std::string shown;
  if (state_ == State::kMayBeFree && !stops_.empty()) {
    state_ = State::kSearched;
    shown = search_stops();
  }
  return shown += take(held_.size());
}

}  // namespace looplm
