// looplm run: text from a model, as it comes.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "looplm/generate.h"

#include "base/count_text.h"
#include "base/json.h"
#include "cli/catch_interrupt.h"
#include "cli/commands.h"
#include "cli/depth_choice.h"
#include "cli/loop_colors.h"
#include "cli/model_choice.h"
#include "cli/provisional_text.h"
#include "cli/token_text.h"
#include "infer/parts.h"
#include "infer/request.h"
#include "infer/sampler.h"
#include "infer/speculation_text.h"
#include "kernels/peaks.h"
#include "model/checkpoint.h"
#include "tensor/memory_plan.h"
#include "text/lines.h"

namespace looplm::cli {
namespace {

// As the command line says it; empty and nullopt where it says nothing.
struct RunOptions {
  ModelChoice model;
  std::optional<std::string> prompt;
  std::optional<std::string> ids;
  std::optional<int64_t> max_tokens;
  DepthChoice depth;
  std::string read_out = "selected";
  std::string kv = "full";
  std::string prompt_kv = "every-loop";
  std::optional<std::string> speculate;
  std::string color = "auto";
  std::vector<std::string> logit_bias;
  std::vector<std::string> stop_ids;
  bool show_loops = false;
  bool json = false;
  bool quiet = false;
  GenerateOptions generate;  // what needs no translation
};

constexpr int64_t kDefaultTokens = 128;

// "15=-2.5"
Status add_bias(const std::string& text, std::map<int32_t, double>& bias) {
  const size_t equals = text.find('=');
  int32_t id = 0;
  double value = 0;
  bool ok = equals != std::string::npos;
  if (ok) {
    const char* middle = text.data() + equals;
    const char* end = text.data() + text.size();
    const auto read_id = std::from_chars(text.data(), middle, id);
    const auto read_value = std::from_chars(middle + 1, end, value);
    ok = read_id.ec == std::errc() && read_id.ptr == middle && id >= 0 &&
         read_value.ec == std::errc() && read_value.ptr == end;
  }
  if (!ok) {
    return invalid_argument(
        fmt::format("--logit-bias is '{}'; expected ID=VALUE such as 15=-2.5", text));
  }
  bias[id] = value;
  return {};
}

// In the command line's words: an error begins with a field such as top_p, which is --top-p here.
Status check_sampling_options(const SamplingOptions& sampling, int64_t vocabulary) {
  const Status status = check_sampling(sampling, vocabulary);
  if (status.ok()) return {};
  std::string message = status.message();
  const auto end = message.begin() + static_cast<std::ptrdiff_t>(message.find(' '));
  std::replace(message.begin(), end, '_', '-');
  constexpr std::string_view kTemperature = "temperature";
  if (message.starts_with(kTemperature)) message.replace(0, kTemperature.size(), "temp");
  return invalid_argument("--" + message);
}

// What to generate, and what to say of its depth before it begins.
struct RunRequest {
  GenerateOptions generate;
  std::string note;
};

Result<RunRequest> resolve(const RunOptions& options, const std::string& path,
                           const ModelConfig& config) {
  GenerateOptions o = options.generate;
  o.read_out = options.read_out == "weighted" ? ReadOut::kWeighted : ReadOut::kSelected;
  o.kv = kv_policy_from_name(options.kv).value();
  const bool exact = o.read_out == ReadOut::kSelected && o.kv == KvPolicy::kFull;
  LOOPLM_ASSIGN_OR_RETURN(const ChosenDepth depth,
                          choose_depth(options.depth, path, config, exact));
  o.exit = depth.exit;
  o.prompt_kv = options.prompt_kv == "as-decoded" ? PromptKv::kAsDecoded : PromptKv::kEveryLoop;
  if (options.speculate.has_value()) {
    const Result<SpeculateOptions> speculate = speculation_from_text(*options.speculate);
    if (!speculate.ok()) return invalid_argument("--speculate " + speculate.status().message());
    o.speculate = speculate.value();
  }
  for (const std::string& text : options.logit_bias) {
    LOOPLM_RETURN_IF_ERROR(add_bias(text, o.sampling.logit_bias));
  }
  for (const std::string& text : options.stop_ids) {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, parse_ids("--stop-id", text));
    o.stop_ids.insert(o.stop_ids.end(), ids.begin(), ids.end());
  }
  for (const int32_t id : o.stop_ids) {
    if (id < config.vocab_size) continue;
    return invalid_argument(fmt::format("--stop-id: {} is not an id of the model; expected 0 to {}",
                                        id, config.vocab_size - 1));
  }
  for (const std::string& text : o.stop_strings) {
    if (text.empty()) return invalid_argument("--stop is empty; expected a text to stop before");
  }
  LOOPLM_RETURN_IF_ERROR(check_sampling_options(o.sampling, config.vocab_size));
  return RunRequest{std::move(o), options.quiet ? "" : depth.note};
}

// Of the tokens after the first; NaN where there are none, which JSON has as null.
double tokens_per_second(const Generation& g) {
  const double after_first = static_cast<double>(g.tokens.size()) - 1;
  return g.statistics.decode_seconds > 0 && after_first > 0
             ? after_first / g.statistics.decode_seconds
             : std::nan("");
}

double passes_per_token(const Generation& g) {
  const double after_first = static_cast<double>(g.tokens.size()) - 1;
  return after_first > 0 ? static_cast<double>(g.statistics.decode_passes) / after_first
                         : std::nan("");
}

OrderedJson generation_json(const Generation& g) {
  OrderedJson json;
  json["ids"] = OrderedJson::array();
  json["loops"] = OrderedJson::array();
  json["log_probabilities"] = OrderedJson::array();
  for (const GeneratedToken& token : g.tokens) {
    json["ids"].push_back(token.id);
    json["loops"].push_back(token.loops);
    json["log_probabilities"].push_back(token.log_probability);
  }
  json["text"] = g.text;
  json["finish_reason"] = finish_reason_name(g.finish_reason);
  json["statistics"] = {{"prompt_tokens", g.statistics.prompt_tokens},
                        {"prompt_seconds", g.statistics.prompt_seconds},
                        {"decode_seconds", g.statistics.decode_seconds},
                        {"decode_passes", g.statistics.decode_passes},
                        {"tokens_per_second", tokens_per_second(g)},
                        {"passes_per_token", passes_per_token(g)},
                        {"mean_loops", g.mean_loops()},
                        {"kv_bytes", g.statistics.kv_bytes},
                        {"decode_lanes", g.statistics.decode_lanes},
                        {"read_bytes_per_second", g.statistics.read_bytes_per_second()},
                        {"provisional_tokens", g.statistics.provisional_tokens},
                        {"revised_tokens", g.statistics.revised_tokens},
                        {"loop_reads", g.statistics.loop_reads},
                        {"loop_agreements", g.statistics.loop_agreements}};
  return json;
}

// "mean loops 2.25 (1: 3, 2: 14, 4: 7)"
std::string loops_summary(const Generation& g) {
  if (g.tokens.empty()) return "no tokens";
  std::map<int64_t, int64_t> counts;
  for (const GeneratedToken& token : g.tokens) ++counts[token.loops];
  std::string parts;
  for (const auto& [loops, count] : counts) {
    parts += fmt::format("{}{}: {}", parts.empty() ? "" : ", ", loops, count);
  }
  return fmt::format("mean loops {:.2f} (tokens by loops {})", g.mean_loops(), parts);
}

// A model that the caches hold is not bound by memory; 0 then.
double peak_read(Model& model) {
  if (model.parts().weights.block_bytes() < uint64_t{128} << 20) return 0;
  return PeakMeter(*model.parts().device, size_t{256} << 20).measure_read(0.1);
}

// One line, after the text. The first token comes with the prompt: speed and passes are those of
// the others.
void print_statistics(const Generation& g, double peak_read) {
  const GenerateStatistics& s = g.statistics;
  const bool more = g.tokens.size() > 1;
  std::string line =
      fmt::format("{}{}; prompt of {} in {:.2f} s", count_text(g.tokens.size(), "token"),
                  more ? fmt::format(", {:.1f} tok/s", tokens_per_second(g)) : "", s.prompt_tokens,
                  s.prompt_seconds);
  if (!g.tokens.empty()) line += fmt::format("; mean loops {:.2f}", g.mean_loops());
  if (more) line += fmt::format("; {:.2f} passes per token", passes_per_token(g));
  if (s.provisional_tokens > 0) {
    line += fmt::format("; {} of {} taken back", s.revised_tokens,
                        count_text(s.provisional_tokens, "provisional token"));
  }
  if (s.read_bytes_per_second() > 0) {
    line += fmt::format("; weights read at {:.1f} GB/s", s.read_bytes_per_second() / 1e9);
    if (peak_read > 0) {
      line += fmt::format(" ({:.0f}% of peak)", 100 * s.read_bytes_per_second() / peak_read);
    }
  }
  fmt::print(stderr, "{}; KV {}\n", line, bytes_text(s.kv_bytes));
}

void write_out(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// A disk that is full, say.
Status flush_out() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  return io_error("cannot write to standard output");
}

// Runs one request and shows it. The note stands before the first one.
Status answer(Model& model, const RunOptions& options, std::span<const int32_t> prompt,
              RunRequest& run) {
  GenerateOptions request = run.generate;
  const ModelConfig& config = model.config();
  // Without -n the answer may be shorter than usual to fit the model.
  const int64_t room = config.max_positions - static_cast<int64_t>(prompt.size());
  request.max_tokens = options.max_tokens.value_or(std::clamp<int64_t>(room, 1, kDefaultTokens));
  // What is wrong comes alone.
  Request checked;
  checked.prompt.assign(prompt.begin(), prompt.end());
  checked.options = request;
  LOOPLM_RETURN_IF_ERROR(check_request(checked, model).status());
  if (!run.note.empty()) fmt::print(stderr, "{}\n", std::exchange(run.note, ""));

  const int64_t max_loops = request.exit.max_loops == 0 ? config.loops : request.exit.max_loops;
  const bool colors = options.show_loops && use_colors(options.color);
  const LoopColors painter(max_loops, colors);
  const bool has_text = model.tokenizer() != nullptr;
  if (colors && !options.json) write_out(painter.legend() + "\n");
  bool first = true;
  // Revisions can be shown where the terminal moves its cursor.
  std::optional<ProvisionalText> provisional;
  if (colors && !options.json && has_text && ::isatty(STDOUT_FILENO) == 1) {
    provisional.emplace(*model.tokenizer());
  }
  GenerateCallbacks callbacks;
  if (provisional.has_value()) {
    callbacks.screen = [&](const ProvisionalToken& token) {
      if (!token.final) {
        write_out(provisional->propose(token));
        std::fflush(stdout);
      }
      return true;
    };
  }
  callbacks.token = [&](const GeneratedToken& token) {
    if (provisional.has_value()) write_out(provisional->confirm());
    if (!options.json) {
      const std::string text =
          has_text ? token.text : fmt::format("{}{}", first ? "" : " ", token.id);
      write_out(painter.paint(text, token.loops));
      if (provisional.has_value()) write_out(provisional->redraw());
      std::fflush(stdout);
    }
    first = false;
    return !CatchInterrupt::interrupted();
  };

  const CatchInterrupt guard;
  LOOPLM_ASSIGN_OR_RETURN(const Generation g, generate(model, prompt, request, callbacks));
  if (provisional.has_value()) write_out(provisional->erase());
  if (options.json) {
    write_out(dump_json(generation_json(g)) + "\n");
  } else {
    write_out("\n");
    if (options.show_loops) write_out(loops_summary(g) + "\n");
  }
  LOOPLM_RETURN_IF_ERROR(flush_out());
  if (!options.quiet) print_statistics(g, peak_read(model));
  const bool stops = !request.stop_strings.empty() || !request.stop_ids.empty();
  if (!options.quiet && has_text && g.text.empty() && !stops &&
      g.finish_reason == FinishReason::kStop) {
    fmt::print(stderr,
               "note: the model ended the text at once. It may expect questions, as 'looplm chat "
               "{}{}' puts them.\n",
               model.name(),
               options.model.adapter.empty() ? "" : " --lora " + options.model.adapter);
  }
  if (g.finish_reason == FinishReason::kCancelled) {
    return Status(StatusCode::kCancelled, "interrupted");
  }
  return {};
}

// Each line of standard input is a request of its own. At a terminal a request that fails does not
// end the conversation.
Status answer_lines(Model& model, const RunOptions& options, RunRequest& request) {
  if (model.tokenizer() == nullptr) return encode_prompt(model, "").status();
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  std::string line;
  for (int64_t number = 1;; ++number) {
    if (terminal) {
      fmt::print(stderr, "> ");
      std::fflush(stderr);
    }
    if (!std::getline(std::cin, line)) break;
    if (line.ends_with('\r')) line.pop_back();
    if (number == 1) line = std::string(without_byte_order_mark(line));
    if (line.empty()) continue;
    const auto ids = encode_prompt(model, line);
    const Status status = ids.ok() ? answer(model, options, ids.value(), request) : ids.status();
    if (status.ok()) continue;
    if (!terminal) return status.with_context(fmt::format("line {}", number));
    fmt::print(stderr, "looplm: {}\n", status.message());
  }
  if (terminal) fmt::print(stderr, "\n");
  return {};
}

Status run(const RunOptions& options) {
  if (options.prompt.has_value() && options.ids.has_value()) {
    return invalid_argument("both --prompt and --ids are given; expected one of them");
  }
  std::vector<int32_t> prompt;
  if (options.ids.has_value()) {
    LOOPLM_ASSIGN_OR_RETURN(prompt, parse_ids("--ids", *options.ids));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string path, locate_model(options.model.directory));
  // Options are checked against the config before gigabytes of weights are read.
  LOOPLM_ASSIGN_OR_RETURN(const ModelConfig config,
                          read_checkpoint_config(path, {.gate_file = options.model.gate_file}));
  LOOPLM_ASSIGN_OR_RETURN(RunRequest request, resolve(options, path, config));
  LOOPLM_ASSIGN_OR_RETURN(const auto model, Model::load(path, options.model.options()));
  if (options.ids.has_value()) return answer(*model, options, prompt, request);
  if (!options.prompt.has_value()) return answer_lines(*model, options, request);
  LOOPLM_ASSIGN_OR_RETURN(prompt, encode_prompt(*model, *options.prompt));
  return answer(*model, options, prompt, request);
}

void add_model_options(Command& command, RunOptions& o) {
  add_model_argument(command, o.model.directory);
  command.add_option("-p,--prompt", o.prompt,
                     "Text to continue (default: each line of standard input is a prompt)");
  command.add_option("--ids", o.ids, "Token ids to continue, such as 1,2,3; needs no tokenizer");
  add_weight_options(command, o.model);
}

void add_loop_options(Command& command, RunOptions& o) {
  const std::string group = "Loops";
  add_depth_options(command, o.depth, group);
  command
      .add_option(
          "--read-out", o.read_out,
          "Logits that choose the token: selected (those of the exit loop) or weighted (all "
          "loops', weighted by exit probability)")
      ->check(one_of({"selected", "weighted"}))
      ->capture_default_str()
      ->group(group);
  std::vector<std::string> policies;
  policies.reserve(std::size(kKvPolicies));
  for (KvPolicy policy : kKvPolicies) policies.emplace_back(kv_policy_name(policy));
  command
      .add_option(
          "--kv", o.kv,
          "Keys and values kept while decoding: full (one set per loop; exact), last, mean or "
          "first (one set instead of one per loop; saves memory, changes answers), "
          "last-exited (loops that were left out repeat the exit loop's)")
      ->check(one_of(policies))
      ->capture_default_str()
      ->group(group);
  command
      .add_option(
          "--prompt-kv", o.prompt_kv,
          "Keys and values kept while the prompt is read, where --kv keeps one set instead of one "
          "per loop: every-loop, or as-decoded (as --kv says; worse and slower, for comparison)")
      ->check(one_of({"every-loop", "as-decoded"}))
      ->capture_default_str()
      ->group(group);
  command
      .add_option(
          "--speculate", o.speculate,
          "Start the next token early, and take it back if a later loop disagrees; the text stays "
          "the same. When to start: auto (chosen by measured costs; the default if no rule is "
          "named), loop:N (after loop N; 1), q:THRESHOLD (by the gate's exit probabilities; 0.3), "
          "margin:THRESHOLD (by the lead of the most likely token; 0.3)")
      ->alone("auto")
      ->group(group);
  command
      .add_flag("--show-loops", o.show_loops,
                "Colour each token by the loops it took, and print the mean")
      ->group(group);
  add_color_option(command, o.color)->group(group);
}

void add_sampling_options(Command& command, SamplingOptions& s) {
  const std::string group = "Sampling";
  const auto add = [&](const std::string& name, auto& value, const std::string& help) {
    command.add_option(name, value, help)->capture_default_str()->group(group);
  };
  add("--temp", s.temperature, "Temperature; 0 always takes the most likely token");
  add("--top-k", s.top_k, "Keep the k most likely tokens (0: all)");
  add("--top-p", s.top_p,
      "Keep the most likely tokens that together have this probability, above 0 to 1");
  add("--min-p", s.min_p, "Drop tokens below this share of the best one's probability, 0 to 1");
  add("--repetition-penalty", s.repetition_penalty,
      "Divide positive and multiply negative logits of tokens seen; 1 does nothing");
  add("--presence-penalty", s.presence_penalty,
      "Subtract this once from the logit of a token that was generated");
  add("--frequency-penalty", s.frequency_penalty,
      "Subtract this for each time a token was generated");
  add("--seed", s.seed, "Seed: the same request and seed give the same tokens");
}

void add_output_options(Command& command, RunOptions& o) {
  command
      .add_option(
          "-n,--max-tokens", o.max_tokens,
          fmt::format("Maximum number of tokens to generate (default: {}, or what fits the model)",
                      kDefaultTokens))
      ->check(range(int64_t{0}, kMaxPositions));
  // One value per mention: a text may hold commas and spaces, and DIR may follow.
  command.add_option("--stop", o.generate.stop_strings, "Stop before this text; repeatable")
      ->allow_extra_args(false);
  command.add_option("--stop-id", o.stop_ids, "Stop at these token ids, such as 1,2; repeatable")
      ->allow_extra_args(false);
  command
      .add_option("--logit-bias", o.logit_bias,
                  "ID=VALUE: add VALUE to this token's logit; repeatable")
      ->allow_extra_args(false)
      ->group("Sampling");
  command.add_flag("--ignore-eos", o.generate.ignore_eos, "Continue past the model's end of text");
  command.add_flag("--json", o.json,
                   "Print one JSON object per request: ids, loops, log_probabilities, text, "
                   "finish_reason, statistics");
  command.add_flag("-q,--quiet", o.quiet, "Print no statistics on standard error");
}

}  // namespace

void add_run_command(Program& program) {
  auto options = std::make_shared<RunOptions>();
  Command* command = program.app().add_subcommand(
      "run", "Generate text, each token with as many loops as it needs");
  add_model_options(*command, *options);
  add_output_options(*command, *options);
  add_loop_options(*command, *options);
  add_sampling_options(*command, options->generate.sampling);
  program.on(command, [options] { return run(*options); });
}

}  // namespace looplm::cli
