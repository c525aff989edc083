#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "looplm/chat.h"

#include "base/rng.h"
#include "chat/call_scanner.h"
#include "text/utf8.h"

namespace looplm {
namespace {

using Kind = ChatDelta::Kind;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

size_t space_before(std::string_view text) {
  size_t end = text.size();
  while (end > 0 && is_space(text[end - 1])) --end;
  return end;
}

// How much of the text's end may be the beginning of `marker`.
size_t partial_marker(std::string_view text, std::string_view marker) {
  for (size_t n = std::min(text.size(), marker.size() - 1); n > 0; --n) {
    if (text.ends_with(marker.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

class ChatOutputParser::Impl {
 public:
  explicit Impl(const ChatParseOptions& options) : options_(options) {
    message_.role = ChatRole::kAssistant;
    if (!options.reasoning) {
      state_ = State::kContent;
    } else if (options.in_reasoning) {
      state_ = State::kReasoning;
    }
  }

  std::vector<ChatDelta> push(std::string_view text) {
    held_ += text;
    run();
    return std::exchange(deltas_, {});
  }

  std::vector<ChatDelta> finish(AnswerEnd end) {
    ended_ = true;
    cut_ = end == AnswerEnd::kCut;
    run();
    return std::exchange(deltas_, {});
  }

  const ChatMessage& message() const { return message_; }

 private:
  enum class State {
    kStart,      // nothing but white space so far
    kReasoning,  // inside the tags
    kContent,
    kCall,       // behind a call's marker, before it is certain
    kArguments,  // inside a call's arguments
    kCallEnd,    // behind them
    kBetween,    // behind a call
  };

  // Each step takes something from the front of held_, or waits for more.
  void run() {
    while (step()) {
    }
  }

  bool step() {
    switch (state_) {
      case State::kStart:
        return start();
      case State::kReasoning:
        return reasoning();
      case State::kContent:
        return content();
      case State::kCall:
        return call();
      case State::kArguments:
        return arguments();
      case State::kCallEnd:
        return call_end();
      case State::kBetween:
        return between();
    }
    return false;
  }

  bool start() {
    const std::string& tag = options_.format.reasoning_begin;
    const size_t begin = std::min(held_.find_first_not_of(" \n\r\t"), held_.size());
    const std::string_view rest = std::string_view(held_).substr(begin);
    if (rest.starts_with(tag)) {
      held_.erase(0, begin + tag.size());
      state_ = State::kReasoning;
      return true;
    }
    if (!ended_ && tag.starts_with(rest)) return false;
    state_ = State::kContent;
    return true;
  }

  bool reasoning() {
    const ChatFormat& format = options_.format;
    if (message_.reasoning.empty()) {
      held_.erase(0, std::min(held_.find_first_not_of(" \n\r\t"), held_.size()));
      // A model that opens again what the prompt has opened.
      if (held_.starts_with(format.reasoning_begin)) {
        held_.erase(0, format.reasoning_begin.size());
        return true;
      }
      if (!ended_ && format.reasoning_begin.starts_with(held_)) return false;
    }
    const size_t end = held_.find(format.reasoning_end);
    if (end != std::string::npos) {
      emit_reasoning(space_before(std::string_view(held_).substr(0, end)));
      held_.erase(0, held_.find(format.reasoning_end) + format.reasoning_end.size());
      strip_content_ = true;
      state_ = State::kContent;
      return true;
    }
    size_t sure = held_.size();
    if (!ended_ || cut_) sure -= partial_marker(held_, format.reasoning_end);
    emit_reasoning(space_before(std::string_view(held_).substr(0, sure)));
    if (ended_) held_.clear();
    return false;
  }

  void emit_reasoning(size_t size) {
    if (size == 0) return;
    message_.reasoning.append(held_, 0, size);
    deltas_.push_back({.kind = Kind::kReasoning, .text = held_.substr(0, size)});
    held_.erase(0, size);
  }

  bool content() {
    if (strip_content_) {
      const size_t begin = std::min(held_.find_first_not_of(" \n\r\t"), held_.size());
      held_.erase(0, begin);
      if (held_.empty()) return false;
      strip_content_ = false;
    }
    if (!options_.tool_calls) {
      emit_content(held_.size());
      return false;
    }
    const std::string_view marker = call_marker(options_.format.tool_calls);
    if (cut_ && (options_.must_call || !message_.tool_calls.empty()) && !held_.empty() &&
        marker.starts_with(held_)) {
      held_.clear();
      return false;
    }
    if (marker.empty()) return content_without_marker();
    const size_t at = held_.find(marker);
    if (at != std::string::npos) {
      emit_content(space_before(std::string_view(held_).substr(0, at)));
      space_before_call_ = held_.substr(0, held_.find(marker));
      held_.erase(0, space_before_call_.size());
      state_ = State::kCall;
      return true;
    }
    size_t sure = held_.size();
    if (!ended_)
      sure = space_before(std::string_view(held_).substr(0, sure - partial_marker(held_, marker)));
    emit_content(sure);
    return false;
  }

  // Llama's form: the whole answer is a call, or none of it.
  bool content_without_marker() {
    if (message_.content.empty()) {
      const size_t begin = std::min(held_.find_first_not_of(" \n\r\t"), held_.size());
      const std::string_view rest = std::string_view(held_).substr(begin);
      const bool may_begin = rest.empty() || kPythonTag.starts_with(rest);
      if (!ended_ && may_begin) return false;
      if (rest.starts_with('{') || rest.starts_with(kPythonTag)) {
        space_before_call_ = held_.substr(0, begin);
        held_.erase(0, begin);
        state_ = State::kCall;
        return true;
      }
    }
    emit_content(held_.size());
    return false;
  }

  void emit_content(size_t size) {
    if (size == 0) return;
    if (message_.content.empty()) message_.content.emplace_back();
    message_.content.front().append(held_, 0, size);
    deltas_.push_back({.kind = Kind::kContent, .text = held_.substr(0, size)});
    held_.erase(0, size);
  }

  // held_ begins with the marker, or between calls of a list with an object.
  bool call() {
    const CallHead head = read_call_head(held_, options_.format.tool_calls, in_list_);
    switch (head.kind) {
      case CallHead::Kind::kCall:
        begin_call(head.name);
        in_list_ = head.in_list;
        held_.erase(0, head.size);
        space_before_call_.clear();
        scanner_ = ArgumentScanner();
        state_ = State::kArguments;
        return true;
      case CallHead::Kind::kNeedsMore:
        if (cut_) held_.clear();
        if (!ended_ || cut_) return false;
        break;
      case CallHead::Kind::kOtherOrder:
        return whole_call();
      case CallHead::Kind::kNone:
        break;
    }
    give_up_call();
    return true;
  }

  // The keys stand in another order, or the arguments are no object: reads the call when all of it
  // is there.
  bool whole_call() {
    const size_t end = find_call_end(held_, options_.format.tool_calls, ended_);
    if (end == std::string::npos) return false;
    const std::vector<ToolCall> calls =
        read_whole_calls(std::string_view(held_).substr(0, end), options_.format.tool_calls);
    if (calls.empty() && cut_) {
      held_.clear();
      return false;
    }
    if (calls.empty()) {
      give_up_call();
      return true;
    }
    for (const ToolCall& call : calls) {
      begin_call(call.name);
      emit_arguments(call.arguments);
    }
    held_.erase(0, end);
    space_before_call_.clear();
    in_list_ = false;
    state_ = State::kBetween;
    return true;
  }

  // What looked like a call is content; what follows its marker is looked at again.
  void give_up_call() {
    const std::string_view marker = call_marker(options_.format.tool_calls);
    const size_t at = std::exchange(in_list_, false) ? 0 : marker.size();
    held_.insert(0, space_before_call_);
    const size_t size = std::exchange(space_before_call_, {}).size() + at;
    emit_content(at > 0 ? size : held_.empty() ? 0 : utf8_step(held_).size);
    state_ = State::kContent;
  }

  void begin_call(const std::string& name) {
    const size_t index = message_.tool_calls.size();
    message_.tool_calls.push_back({.id = make_id(index), .name = name, .arguments = ""});
    deltas_.push_back({.kind = Kind::kToolCall,
                       .text = "",
                       .call = index,
                       .id = message_.tool_calls.back().id,
                       .name = name});
  }

  void emit_arguments(std::string_view text) {
    if (text.empty()) return;
    message_.tool_calls.back().arguments += text;
    deltas_.push_back({.kind = Kind::kArguments,
                       .text = std::string(text),
                       .call = message_.tool_calls.size() - 1});
  }

  bool arguments() {
    const size_t taken = scanner_.scan(held_);
    emit_arguments(std::string_view(held_).substr(0, taken));
    held_.erase(0, taken);
    if (!scanner_.done()) return false;
    state_ = State::kCallEnd;
    return true;
  }

  // The rest of the call's object, and its closing tag.
  bool call_end() {
    const CallTail tail = read_call_tail(held_, options_.format.tool_calls, in_list_);
    if (tail.needs_more && ended_) held_.clear();  // a tag that will not be finished
    if (tail.needs_more) return false;
    held_.erase(0, tail.size);
    in_list_ = tail.another;
    state_ = tail.another ? State::kCall : State::kBetween;
    return true;
  }

  // White space behind a call goes, unless text follows.
  bool between() {
    const size_t begin = held_.find_first_not_of(" \n\r\t");
    if (begin == std::string::npos) {
      if (ended_) held_.clear();
      return false;
    }
    if (options_.format.tool_calls == ToolCallFormat::kLlama) {
      const bool separated = held_[begin] == ';';
      const size_t next = held_.find_first_not_of(" \n\r\t", begin + (separated ? 1 : 0));
      if (separated && next == std::string::npos && !ended_) return false;
      if (next != std::string::npos && held_[next] == '{') {
        held_.erase(0, next);
        state_ = State::kCall;
        return true;
      }
    }
    const std::string_view marker = call_marker(options_.format.tool_calls);
    const std::string_view rest = std::string_view(held_).substr(begin);
    if (!marker.empty() && marker.starts_with(rest) && (!ended_ || (cut_ && rest != marker))) {
      if (ended_) held_.clear();
      return false;
    }
    if (!marker.empty() && rest.starts_with(marker)) held_.erase(0, begin);
    state_ = State::kContent;
    return true;
  }

  std::string make_id(size_t index) const {
    static constexpr std::string_view kLetters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    Rng rng(options_.id_seed, index);
    const bool mistral = options_.format.tool_calls == ToolCallFormat::kMistral;
    std::string id = mistral ? "" : "call_";  // Mistral's templates want nine letters
    for (size_t n = mistral ? 9 : 24; n > 0; --n) {
      id += kLetters[rng.below(static_cast<uint32_t>(kLetters.size()))];
    }
    return id;
  }

  const ChatParseOptions options_;
  State state_ = State::kStart;
  std::string held_;  // not yet given out
  bool ended_ = false;
  bool cut_ = false;  // it ended with the budget
  bool strip_content_ = false;
  bool in_list_ = false;  // inside a list of calls
  std::string space_before_call_;
  ArgumentScanner scanner_;
  ChatMessage message_;
  std::vector<ChatDelta> deltas_;
};

ChatOutputParser::ChatOutputParser(const ChatParseOptions& options)
    : impl_(std::make_unique<Impl>(options)) {}
ChatOutputParser::ChatOutputParser(ChatOutputParser&&) noexcept = default;
ChatOutputParser::~ChatOutputParser() = default;

std::vector<ChatDelta> ChatOutputParser::push(std::string_view text) { return impl_->push(text); }
std::vector<ChatDelta> ChatOutputParser::finish(AnswerEnd end) { return impl_->finish(end); }
const ChatMessage& ChatOutputParser::message() const { return impl_->message(); }

std::vector<std::string> chat_markers(const ChatFormat& format) {
  std::vector<std::string> markers = {format.reasoning_begin, format.reasoning_end};
  switch (format.tool_calls) {
    case ToolCallFormat::kHermes:
      markers.insert(markers.end(), {"<tool_call>", "</tool_call>"});
      break;
    case ToolCallFormat::kMistral:
      markers.insert(markers.end(), {"[TOOL_CALLS]", "[ARGS]"});
      break;
    case ToolCallFormat::kLlama:
      markers.emplace_back(kPythonTag);
      break;
  }
  return markers;
}

}  // namespace looplm
