#include "cli/chat_session.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include <fmt/format.h>

#include "base/count_text.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/catch_interrupt.h"
#include "cli/loop_colors.h"
#include "cli/provisional_text.h"
#include "common/nearest.h"
#include "infer/exit_rule.h"
#include "text/utf8.h"

namespace looplm::cli {
namespace {

struct CommandHelp {
  const char* name;
  const char* help;
};
constexpr std::array<CommandHelp, 10> kCommands = {{
    {"/loops", "[N]: run at most N loops per token (default: as many as config.json says)"},
    {"/exit",
     "RULE [THRESHOLD]: when a token stops looping, such as q 0.5; fixed: after all loops"},
    {"/compare", "[N]: answer the last message again, after N loops (default: 1) and after all"},
    {"/regenerate", "answer the last message again, with other random numbers"},
    {"/system", "[TEXT]: change the system prompt, or remove it"},
    {"/save", "FILE: write the conversation as JSON, in the form of OpenAI's messages"},
    {"/clear", "forget the conversation"},
    {"/depth", "show the loops and the exit rule in force"},
    {"/help", "show this list"},
    {"/quit", "end looplm, as Ctrl-D does"},
}};

void write_out(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Shows an answer as it comes, and keeps it.
class AnswerScreen {
 public:
  AnswerScreen(Model& model, const ChatSessionOptions& options, int64_t max_loops,
               const ChatParseOptions& parse)
      : tokenizer_(*model.tokenizer()),
        painter_(max_loops, options.colors),
        parser_(parse),
        markers_(chat_markers(parse.format)),
        plain_(!options.chat.has_value()) {
    if (options.proposals) provisional_.emplace(tokenizer_);
  }

  void propose(const ProvisionalToken& token) {
    if (!provisional_.has_value() || token.final) return;
    write_out(provisional_->propose(token));
    std::fflush(stdout);
  }

  void token(const GeneratedToken& token) {
    if (provisional_.has_value()) write_out(provisional_->confirm());
    std::string text;
    // A tag that is a special token has no text; the parser needs to see it.
    const std::string_view bytes = tokenizer_.bytes(token.id);
    if (tokenizer_.is_special(token.id) &&
        std::find(markers_.begin(), markers_.end(), bytes) != markers_.end()) {
      text = bytes;
    }
    written_ += token.text.size();
    last_loops_ = token.loops;
    show(text + token.text);
    if (provisional_.has_value()) write_out(provisional_->redraw());
    std::fflush(stdout);
  }

  // What was held back until now, and the end of the line.
  void end(const Generation& generation) {
    if (provisional_.has_value()) write_out(provisional_->erase());
    show(generation.text.substr(std::min(written_, generation.text.size())));
    if (!plain_) show(parser_.finish());
    write_out("\n");
    std::fflush(stdout);
  }

  ChatMessage message() const {
    return plain_ ? chat_message(ChatRole::kAssistant, plain_text_) : parser_.message();
  }

 private:
  void show(const std::string& text) {
    if (!plain_) return show(parser_.push(text));
    plain_text_ += text;
    write_out(painter_.paint(text, last_loops_));
  }

  void show(const std::vector<ChatDelta>& deltas) {
    for (const ChatDelta& delta : deltas) {
      const bool thinks = delta.kind == ChatDelta::Kind::kReasoning;
      if (thinks && !thinking_) write_out("(thinking) ");
      if (!thinks && thinking_) write_out("\n(answer) ");
      thinking_ = thinks;
      // A form whose prompt ends in "Assistant:" leaves a space to the answer.
      std::string_view text = delta.text;
      if (!any_ && text.starts_with(' ')) text.remove_prefix(1);
      any_ = any_ || !text.empty();
      write_out(painter_.paint(std::string(text), last_loops_));
    }
  }

  const Tokenizer& tokenizer_;
  LoopColors painter_;
  ChatOutputParser parser_;
  std::vector<std::string> markers_;
  std::optional<ProvisionalText> provisional_;
  bool plain_;
  std::string plain_text_;
  size_t written_ = 0;  // bytes of the engine's text that were shown
  int64_t last_loops_ = 1;
  bool thinking_ = false;
  bool any_ = false;  // a text was shown
};

template <typename Number>
std::optional<Number> number(const std::string& text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "q 0.5" in two, without the spaces around.
std::pair<std::string, std::string> split(const std::string& text) {
  const size_t space = std::min(text.find_first_of(" \n"), text.size());
  const size_t rest = std::min(text.find_first_not_of(" \n", space), text.size());
  const size_t last = text.find_last_not_of(" \n");
  return {text.substr(0, space), rest == text.size() ? "" : text.substr(rest, last + 1 - rest)};
}

}  // namespace

ChatSession::ChatSession(Model& model, ChatSessionOptions options)
    : model_(model), options_(std::move(options)), engine_(model) {
  if (options_.system.has_value()) {
    messages_.push_back(chat_message(ChatRole::kSystem, *options_.system));
  }
}

std::vector<std::string> ChatSession::commands() {
  std::vector<std::string> names;
  names.reserve(std::size(kCommands));
  for (const CommandHelp& command : kCommands) names.emplace_back(command.name);
  return names;
}

Status ChatSession::take(const std::string& text) {
  if (text.find_first_not_of(" \n\t") == std::string::npos) return {};
  LOOPLM_RETURN_IF_ERROR(check_utf8(text).with_context("the message"));
  if (text[0] == '/') {
    const auto [name, argument] = split(text);
    return command(name, argument);
  }
  return say(chat_message(ChatRole::kUser, text));
}

Status ChatSession::command(const std::string& name, const std::string& argument) {
  if (name == "/loops") return set_loops(argument);
  if (name == "/exit") return set_exit(argument);
  if (name == "/compare") return compare(argument);
  if (name == "/regenerate") return regenerate();
  if (name == "/system") return set_system(argument);
  if (name == "/save") return save(argument);
  if (name == "/clear") {
    std::erase_if(messages_, [](const ChatMessage& m) { return m.role != ChatRole::kSystem; });
    fmt::print("the conversation is forgotten\n");
  } else if (name == "/depth") {
    fmt::print("{}\n", depth_text(options_.generate));
  } else if (name == "/help") {
    for (const CommandHelp& command : kCommands) {
      fmt::print("  {:<12} {}\n", command.name, command.help);
    }
    fmt::print(
        "End a line with \\ to continue it; put a longer message between two lines of \"\"\".\n");
  } else if (name == "/quit") {
    ended_ = true;
  } else {
    const std::string meant = nearest(name, commands());
    return invalid_argument(
        fmt::format("'{}' is not a command; {}", name,
                    meant.empty() ? "/help lists them" : "did you mean " + meant + "?"));
  }
  return {};
}

std::string ChatSession::depth_text(const GenerateOptions& options) const {
  const int64_t loops =
      options.exit.max_loops == 0 ? model_.config().loops : options.exit.max_loops;
  const int64_t said = model_.config().loops;
  const std::string most =
      fmt::format("{} per token{}", count_text(loops, "loop"),
                  loops > said ? fmt::format(" (config.json says {})", said) : "");
  if (options.exit.kind == ExitKind::kFixed) return most;
  return fmt::format("up to {}, exit {} {:.4g}", most, exit_kind_name(options.exit.kind),
                     options.exit.threshold);
}

Status ChatSession::set_loops(const std::string& argument) {
  const auto loops = argument.empty() ? std::optional<int64_t>(0) : number<int64_t>(argument);
  if (!loops.has_value() || (!argument.empty() && *loops < 1) || *loops > kMaxLoops) {
    return invalid_argument(
        fmt::format("/loops is '{}'; expected a number from 1 to {}", argument, kMaxLoops));
  }
  options_.generate.exit.max_loops = *loops;
  fmt::print("{}\n", depth_text(options_.generate));
  return {};
}

Status ChatSession::set_exit(const std::string& argument) {
  const auto [rule, value] = split(argument);
  const Result<ExitKind> kind = exit_kind_from_name(rule);
  if (!kind.ok()) return kind.status().with_context("/exit");
  const Result<double> threshold = value.empty()
                                       ? Result<double>(exit_rule_info(kind.value()).threshold)
                                       : threshold_from_text(kind.value(), value);
  if (kind.value() == ExitKind::kFixed && !value.empty()) {
    return invalid_argument(fmt::format("/exit fixed has no threshold, and got '{}'", value));
  }
  if (!threshold.ok()) return threshold.status().with_context("/exit");
  ExitOptions exit = options_.generate.exit;
  exit.kind = kind.value();
  exit.threshold = threshold.value();
  LOOPLM_RETURN_IF_ERROR(
      make_exit_rule(exit, model_.config().exit_gate).status().with_context("/exit"));
  options_.generate.exit = exit;
  fmt::print("{}\n", depth_text(options_.generate));
  return {};
}

Status ChatSession::set_system(const std::string& argument) {
  if (!options_.chat.has_value()) {
    return invalid_argument("/system: the model has no chat template to put it in");
  }
  std::erase_if(messages_, [](const ChatMessage& m) { return m.role == ChatRole::kSystem; });
  if (!argument.empty()) {
    messages_.insert(messages_.begin(), chat_message(ChatRole::kSystem, argument));
  }
  fmt::print("{}\n", argument.empty() ? "no system prompt" : "a new system prompt");
  return {};
}

Status ChatSession::say(ChatMessage message) {
  messages_.push_back(std::move(message));
  Result<ChatMessage> reply = answer(options_.generate);
  if (!reply.ok()) {
    messages_.pop_back();
    return reply.status();
  }
  messages_.push_back(std::move(reply).value());
  return {};
}

// What came before the last answer: its message is the last then.
Status ChatSession::regenerate() {
  if (messages_.empty() || messages_.back().role != ChatRole::kAssistant) {
    return invalid_argument("/regenerate: there is no answer yet");
  }
  ChatMessage old = std::move(messages_.back());
  messages_.pop_back();
  // With the same seed the same words would come again.
  ++options_.generate.sampling.seed;
  Result<ChatMessage> reply = answer(options_.generate);
  if (reply.ok()) old = std::move(*reply);
  messages_.push_back(std::move(old));
  return reply.status();
}

Status ChatSession::compare(const std::string& argument) {
  const int64_t most = std::max<int64_t>(model_.config().loops, options_.generate.exit.max_loops);
  const auto loops = argument.empty() ? std::optional<int64_t>(1) : number<int64_t>(argument);
  if (!loops.has_value() || *loops < 1 || *loops > most) {
    return invalid_argument(
        fmt::format("/compare is '{}'; expected a number of loops from 1 to {}", argument, most));
  }
  if (messages_.empty() || messages_.back().role != ChatRole::kAssistant) {
    return invalid_argument("/compare: there is no answer yet");
  }
  const ChatMessage kept = std::move(messages_.back());
  messages_.pop_back();
  Status status;
  for (const int64_t depth : {*loops, most}) {
    GenerateOptions options = options_.generate;
    options.exit = {.kind = ExitKind::kFixed, .threshold = 1, .min_loops = 1, .max_loops = depth};
    fmt::print("-- {}\n", depth_text(options));
    status = answer(options).status();
    if (!status.ok() || CatchInterrupt::interrupted()) break;
  }
  messages_.push_back(kept);
  return status;
}

Status ChatSession::save(const std::string& path) const {
  if (path.empty()) return invalid_argument("/save needs the name of a file");
  OrderedJson list = OrderedJson::array();
  for (const ChatMessage& m : messages_) {
    OrderedJson entry = {{"role", chat_role_name(m.role)}, {"content", m.text()}};
    if (!m.reasoning.empty()) entry["reasoning_content"] = m.reasoning;
    list.push_back(std::move(entry));
  }
  LOOPLM_RETURN_IF_ERROR(write_text_file(path, dump_json(list, 1) + "\n"));
  fmt::print("{} in {}\n", count_text(messages_.size(), "message"), path);
  return {};
}

Result<std::vector<int32_t>> ChatSession::prompt(bool& in_reasoning) const {
  const Tokenizer& tokenizer = *model_.tokenizer();
  in_reasoning = false;
  if (!options_.chat.has_value()) return tokenizer.encode(messages_.back().text());
  LOOPLM_ASSIGN_OR_RETURN(const RenderedChat rendered, options_.chat->render(messages_));
  in_reasoning = rendered.in_reasoning;
  LOOPLM_ASSIGN_OR_RETURN(EncodedChat encoded, encode_chat(tokenizer, rendered));
  return std::move(encoded.ids);
}

Result<ChatMessage> ChatSession::answer(const GenerateOptions& options) {
  const ModelConfig& config = model_.config();
  ChatParseOptions parse;
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, prompt(parse.in_reasoning));
  if (options_.chat.has_value()) parse.format = options_.chat->format();
  const int64_t room = config.max_positions - static_cast<int64_t>(ids.size());
  if (room < 1) {
    return resource_exhausted(
        fmt::format("the conversation has {}, and the model has {} positions; /clear begins anew",
                    count_text(ids.size(), "token"), config.max_positions));
  }
  const int64_t loops = options.exit.max_loops == 0 ? config.loops : options.exit.max_loops;
  AnswerScreen screen(model_, options_, loops, parse);
  Request request;
  request.prompt = ids;
  request.options = options;
  request.options.max_tokens = options.max_tokens == 0 ? room : std::min(room, options.max_tokens);
  if (loops == 1) request.options.speculate = {};  // there is nothing to guess ahead of
  if (options_.chat.has_value()) {
    const std::vector<int32_t>& ends = options_.chat->end_ids();
    request.options.stop_ids.insert(request.options.stop_ids.end(), ends.begin(), ends.end());
  }
  request.callbacks.screen = [&](const ProvisionalToken& token) {
    screen.propose(token);
    return true;
  };
  request.callbacks.token = [&](const GeneratedToken& token) {
    screen.token(token);
    return true;
  };
  Generation generation;
  request.done = [&](Generation done) { generation = std::move(done); };
  const CatchInterrupt guard(CatchInterrupt::Second::kIsIgnored);
  LOOPLM_ASSIGN_OR_RETURN(const int64_t number, engine_.submit(std::move(request)));
  while (engine_.step()) {
    if (CatchInterrupt::interrupted()) engine_.cancel(number);
  }
  screen.end(generation);
  if (generation.finish_reason == FinishReason::kError) return generation.status;
  if (options_.proposals) {
    const std::string mean = generation.tokens.empty()
                                 ? ""
                                 : fmt::format(", mean loops {:.2f}", generation.mean_loops());
    fmt::print(stderr, "\x1b[2m{}{}{}\x1b[0m\n", count_text(generation.tokens.size(), "token"),
               mean, generation.finish_reason == FinishReason::kCancelled ? "; stopped" : "");
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    return io_error("cannot write to standard output");
  }
  return screen.message();
}

}  // namespace looplm::cli
