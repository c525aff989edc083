#include "text/bpe.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "text/utf8.h"

namespace looplm {
namespace {

// Up to here scanning all pairs for each merge is faster than a heap.
constexpr size_t kShortWord = 32;
constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

// The character that a byte of `text` belongs to.
std::string_view character_at(std::string_view text, size_t byte) {
  while (byte > 0 && (static_cast<unsigned char>(text[byte]) & 0xC0) == 0x80) --byte;
  text.remove_prefix(byte);
  return text.substr(0, utf8_step(text).size);
}

}  // namespace

std::optional<int32_t> BytePairEncoder::id_of(std::string_view text) const {
  const auto found = ids_.find(std::string(text));
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

void BytePairEncoder::encode(std::string_view word, std::vector<int32_t>& out,
                             Scratch& scratch) const {
  const int32_t token = tokens_.find(word);
  if (token >= 0) {
    const uint8_t known = whole_[static_cast<size_t>(token)].load(std::memory_order_relaxed);
    if (ignore_merges_ || known == 1) {
      out.push_back(token);
      return;
    }
  }
  std::vector<int32_t>& ids = scratch.ids;
  start(word, scratch);
  if (ids.size() <= kShortWord) {
    merge_short(ids);
  } else {
    merge_long(scratch);
  }
  if (token >= 0) {
    const bool whole = ids.size() == 1 && ids.front() == token;
    whole_[static_cast<size_t>(token)].store(whole ? 1 : 2, std::memory_order_relaxed);
  }
  out.insert(out.end(), ids.begin(), ids.end());
}

// One id per byte.
void BytePairEncoder::start(std::string_view word, Scratch& scratch) const {
  std::vector<int32_t>& ids = scratch.ids;
  ids.clear();
  bool after_unknown = false;
  for (size_t i = 0; i < word.size(); ++i) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(word[i])];
    if (id >= 0) {
      ids.push_back(id);
    } else if (unknown_id_ < 0) {
      if (scratch.lost_bytes++ == 0) scratch.first_lost = character_at(word, i);
    } else if (!(fuse_unknown_ && after_unknown)) {
      ids.push_back(unknown_id_);
    }
    after_unknown = id < 0;
  }
}

// The lowest rank first, and of equal ones the leftmost.
void BytePairEncoder::merge_short(std::vector<int32_t>& ids) const {
  std::array<MergeTable::Merge, kShortWord> pairs;  // of ids i and i + 1
  const auto look_up = [&](size_t i) {
    const MergeTable::Merge* merge = merges_.find(ids[i], ids[i + 1]);
    pairs[i] = merge != nullptr ? *merge : MergeTable::Merge{kNone, -1};
  };
  for (size_t i = 0; i + 1 < ids.size(); ++i) look_up(i);
  while (ids.size() > 1) {
    const size_t count = ids.size() - 1;
    size_t best = 0;
    for (size_t i = 1; i < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNone) return;
    ids[best] = pairs[best].id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(pairs.begin() + static_cast<std::ptrdiff_t>(best) + 1,
              pairs.begin() + static_cast<std::ptrdiff_t>(count),
              pairs.begin() + static_cast<std::ptrdiff_t>(best));
    if (best > 0) look_up(best - 1);
    if (best + 1 < ids.size()) look_up(best);
  }
}

// The same with a heap over a linked list: n log n for a megabyte of spaces.
void BytePairEncoder::merge_long(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.clear();
  heap.clear();
  for (size_t i = 0; i < scratch.ids.size(); ++i) {
    symbols.push_back({scratch.ids[i], static_cast<uint32_t>(i) - 1, static_cast<uint32_t>(i) + 1});
  }
  symbols.front().previous = kNone;
  symbols.back().next = kNone;

  // Entries whose pair has changed since are skipped when they come up.
  const auto offer = [&](uint32_t left) {
    if (left == kNone || symbols[left].next == kNone) return;
    const MergeTable::Merge* merge = merges_.find(symbols[left].id, symbols[symbols[left].next].id);
    if (merge == nullptr) return;
    heap.push_back({merge->rank, left, static_cast<uint32_t>(merge->id)});
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  for (uint32_t i = 0; i < symbols.size(); ++i) offer(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto [rank, left, id] = heap.back();
    heap.pop_back();
    Symbol& symbol = symbols[left];
    if (symbol.id < 0 || symbol.next == kNone) continue;
    const MergeTable::Merge* now = merges_.find(symbol.id, symbols[symbol.next].id);
    if (now == nullptr || now->rank != rank) continue;
    Symbol& right = symbols[symbol.next];
    symbol.id = static_cast<int32_t>(id);
    symbol.next = right.next;
    right.id = -1;
    if (right.next != kNone) symbols[right.next].previous = left;
    offer(symbol.previous);
    offer(left);
  }
  scratch.ids.clear();
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) scratch.ids.push_back(symbols[i].id);
}

}  // namespace looplm
