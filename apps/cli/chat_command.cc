// looplm chat: a conversation at the terminal, or through a pipe.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/catch_interrupt.h"
#include "cli/chat_session.h"
#include "cli/commands.h"
#include "cli/depth_choice.h"
#include "cli/line_editor.h"
#include "cli/loop_colors.h"
#include "cli/model_choice.h"
#include "infer/exit_rule.h"
#include "model/chat_model.h"

namespace looplm::cli {
namespace {

struct ChatCommandOptions {
  ModelChoice model;
  DepthChoice depth;
  std::optional<std::string> system;
  std::string color = "auto";
  std::vector<std::string> begin;
  int64_t max_tokens = 0;
  double temperature = 0;
  uint64_t seed = 0;
};

// $XDG_STATE_HOME/looplm/history, else under ~/.local/state; empty where there is no home.
std::string history_file() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  std::string state = variable("XDG_STATE_HOME");
  if (state.empty() && !variable("HOME").empty()) state = variable("HOME") + "/.local/state";
  if (state.empty() || !make_directories(state + "/looplm").ok()) return "";
  return state + "/looplm/history";
}

Status chat(const ChatCommandOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string path, locate_model(o.model.directory));
  LOOPLM_ASSIGN_OR_RETURN(const auto model, Model::load(path, o.model.options()));
  if (model->tokenizer() == nullptr) {
    return invalid_argument(fmt::format("'{}' has no tokenizer to chat with", model->name()));
  }
  const bool terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  ChatSessionOptions options;
  options.generate.max_tokens = o.max_tokens;
  options.generate.sampling.temperature = o.temperature;
  options.generate.sampling.seed = o.seed;
  const ModelConfig& config = model->config();
  LOOPLM_ASSIGN_OR_RETURN(const ChosenDepth depth, choose_depth(o.depth, path, config, true));
  LOOPLM_RETURN_IF_ERROR(make_exit_rule(depth.exit, config.exit_gate).status());
  options.generate.exit = depth.exit;
  options.colors = use_colors(o.color);
  options.proposals = options.colors && terminal;
  if (options.proposals && config.loops > 1) {
    options.generate.speculate = {CommitKind::kAuto};  // the same text, seen as it forms
  }
  LOOPLM_ASSIGN_OR_RETURN(const ChatFiles files,
                          model_chat_files(path, *model->tokenizer(), o.model.adapter));
  LOOPLM_ASSIGN_OR_RETURN(ChatTemplate chat, ChatTemplate::create(files, *model->tokenizer()));
  if (!chat.converses()) {
    if (o.system.has_value()) {
      return invalid_argument(
          fmt::format("--system: '{}' has no chat template to put it in", model->name()));
    }
    // Without an end it would go on to the last position.
    const bool cut = o.max_tokens == 0 && model->stop_strings().empty();
    if (cut) options.generate.max_tokens = 128;
    fmt::print(stderr,
               "note: this model has no chat template. It continues each text that you type{}, and "
               "remembers none of them. 'looplm chat models/chat' holds a conversation.\n",
               cut ? " by up to 128 tokens (--max-tokens changes that)" : "");
  } else {
    // What a template cannot do matters here only to a system prompt: there are no tools.
    if (files.templates.empty() || o.system.has_value()) {
      for (const std::string& note : chat.notes()) fmt::print(stderr, "note: {}\n", note);
    }
    // Such as an end that is no special token.
    const bool writes_end = std::ranges::any_of(model->ends_of_text(), [&](const EndOfText& end) {
      const std::string_view text = model->tokenizer()->bytes(end.id);
      return !text.empty() && chat.source().find(text) != std::string::npos;
    });
    if (chat.end_of_turn().empty() && !writes_end && model->stop_strings().empty() &&
        o.max_tokens == 0) {
      fmt::print(stderr,
                 "note: the model's chat template writes no special token behind an answer, so an "
                 "answer may not end. It is cut off after 128 tokens, or --max-tokens.\n");
      options.generate.max_tokens = 128;
    }
    options.chat = std::move(chat);
    options.system = o.system;
  }
  if (!depth.note.empty()) fmt::print(stderr, "{}\n", depth.note);
  ChatSession session(*model, options);
  for (const std::string& text : o.begin) LOOPLM_RETURN_IF_ERROR(session.take(text));
  if (terminal) {
    fmt::print("{}; /help lists commands, Ctrl-C stops an answer, Ctrl-D ends\n",
               LoopColors(config.loops, options.colors).legend());
    std::fflush(stdout);
  }
  LineEditor editor({.prompt = "> ",
                     .history_file = terminal ? history_file() : "",
                     .words = ChatSession::commands()});
  // Between reading and answering too, Ctrl-C must not end the program.
  std::optional<CatchInterrupt> always;
  if (terminal) always.emplace(CatchInterrupt::Second::kIsIgnored);
  std::string text;
  for (int64_t number = 1; !session.ended(); ++number) {
    LineEditor::Read read = LineEditor::Read::kEnd;
    if (terminal) {
      const CatchInterrupt guard(CatchInterrupt::Second::kIsIgnored);
      read = editor.read(text);
    } else {
      read = editor.read(text);
    }
    if (read == LineEditor::Read::kInterrupted) {
      fmt::print("^C (Ctrl-D ends)\n");
      continue;
    }
    if (read == LineEditor::Read::kEnd) break;
    const Status status = session.take(text);
    if (!terminal && CatchInterrupt::interrupted()) {
      return Status(StatusCode::kCancelled, "interrupted");
    }
    if (!status.ok() && !terminal) return status.with_context(fmt::format("message {}", number));
    if (!status.ok()) fmt::print(stderr, "looplm: {}\n", status.message());
  }
  return {};
}

}  // namespace

void add_chat_command(Program& program) {
  auto o = std::make_shared<ChatCommandOptions>();
  Command* c = program.app().add_subcommand(
      "chat", "Talk with a model; commands such as /loops 2 change its depth");
  add_model_argument(*c, o->model.directory);
  c->add_option("--system", o->system, "System prompt");
  c->add_option("--do", o->begin,
                "A message or command to begin with, such as '/exit q 0.5'; repeatable")
      ->allow_extra_args(false);
  c->add_option("-n,--max-tokens", o->max_tokens,
                "Maximum number of tokens of an answer (0: what fits)")
      ->check(range(int64_t{0}, kMaxPositions))
      ->capture_default_str();
  c->add_option("--temp", o->temperature, "Temperature; 0 always takes the most likely token")
      ->check(range(0.0, 100.0))
      ->capture_default_str();
  c->add_option("--seed", o->seed, "Seed: the same conversation and seed give the same answers")
      ->check(not_negative())
      ->capture_default_str();
  add_color_option(*c, o->color);
  add_depth_options(*c, o->depth, "Loops");
  add_weight_options(*c, o->model);
  program.on(c, [o] { return chat(*o); });
}

}  // namespace looplm::cli
