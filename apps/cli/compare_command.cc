// looplm compare: what a weight format loses against fp32, after every loop.
#include <algorithm>
#include <cmath>
#include <memory>

#include <fmt/format.h>

#include "looplm/trace.h"

#include "base/count_text.h"
#include "base/file.h"
#include "cli/bench_model.h"
#include "cli/depth_choice.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"

namespace looplm::cli {
namespace {

struct CompareOptions {
  std::string directory;
  std::string reference;
  std::string text;
  std::vector<std::string> formats = {"bf16", "int8", "int4"};
  std::string kv_type = "f32";
  std::string output = "table";
  int64_t loops = 0;
  int64_t tokens = 256;
  int64_t samples = 16;
  int threads = 0;
};

std::vector<double> log_softmax(std::span<const float> logits) {
  const auto most = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (float x : logits) sum += std::exp(static_cast<double>(x) - most);
  const double log_sum = most + std::log(sum);
  std::vector<double> out;
  out.reserve(logits.size());
  for (float x : logits) out.push_back(static_cast<double>(x) - log_sum);
  return out;
}

// Sums over tokens, for each loop.
struct Loss {
  double nll = 0, kl = 0, kl_most = 0;
  int64_t same_best = 0, tokens = 0, targets = 0;
};

Result<std::vector<std::vector<int32_t>>> read_samples(const CompareOptions& o, Model& model) {
  std::vector<std::vector<int32_t>> samples;
  if (o.text.empty()) {
    for (int64_t i = 0; i < o.samples; ++i) {
      samples.push_back(bench_ids(o.tokens, model.config().vocab_size, static_cast<uint64_t>(i)));
    }
    return samples;
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(o.text));
  const auto encoded = encode_prompt(model, text);
  if (!encoded.ok()) return encoded.status().with_context(o.text);
  const std::vector<int32_t>& ids = encoded.value();
  for (size_t at = 0; at < ids.size() && static_cast<int64_t>(samples.size()) < o.samples;
       at += static_cast<size_t>(o.tokens)) {
    const size_t end = std::min(ids.size(), at + static_cast<size_t>(o.tokens));
    samples.emplace_back(ids.begin() + static_cast<ptrdiff_t>(at),
                         ids.begin() + static_cast<ptrdiff_t>(end));
  }
  if (samples.empty()) return invalid_argument(fmt::format("'{}' holds no text", o.text));
  return samples;
}

Result<std::unique_ptr<Model>> load_as(const CompareOptions& o, const std::string& directory,
                                       const std::string& dtype, const std::string& kv) {
  ModelChoice choice;
  choice.dtype = dtype;
  choice.kv_type = kv;
  choice.threads = o.threads;
  return Model::load(directory, choice.options());
}

Status compare(const CompareOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string directory, locate_model(o.directory));
  std::string exact_path = directory;
  if (!o.reference.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(exact_path, locate_named_model(o.reference));
  }
  LOOPLM_ASSIGN_OR_RETURN(const auto exact, load_as(o, exact_path, "f32", "f32"));
  LOOPLM_ASSIGN_OR_RETURN(const auto samples, read_samples(o, *exact));
  const int64_t loops = o.loops == 0 ? exact->config().loops : o.loops;
  BenchTable table(o.output);
  table.title(fmt::format("{}: against f32, {} of up to {}, {}", directory,
                          count_text(samples.size(), "sample"), count_text(o.tokens, "token"),
                          o.text.empty() ? "random ids" : o.text));
  for (const std::string& format : o.formats) {
    LOOPLM_ASSIGN_OR_RETURN(const auto model, load_as(o, directory, format, o.kv_type));
    std::vector<Loss> losses(static_cast<size_t>(loops)), reference(losses.size());
    for (const std::vector<int32_t>& ids : samples) {
      std::vector<std::vector<double>> expected(static_cast<size_t>(loops) * ids.size());
      TraceOptions trace_options;
      trace_options.loops = loops;
      trace_options.top = 0;
      const auto at = [&](int64_t loop, int64_t token) {
        return static_cast<size_t>(loop) * ids.size() + static_cast<size_t>(token);
      };
      const auto add_nll = [&](Loss& loss, int64_t token, const std::vector<double>& log_p) {
        if (token + 1 == static_cast<int64_t>(ids.size())) return;
        loss.nll -= log_p[static_cast<size_t>(ids[static_cast<size_t>(token) + 1])];
        ++loss.targets;
      };
      trace_options.on_logits = [&](int64_t loop, int64_t token,
                                    std::span<const float> logits) -> Status {
        std::vector<double> log_p = log_softmax(logits);
        add_nll(reference[static_cast<size_t>(loop)], token, log_p);
        expected[at(loop, token)] = std::move(log_p);
        return {};
      };
      LOOPLM_RETURN_IF_ERROR(trace(*exact, ids, trace_options).status());
      trace_options.on_logits = [&](int64_t loop, int64_t token,
                                    std::span<const float> logits) -> Status {
        const std::vector<double> log_q = log_softmax(logits);
        const std::vector<double>& log_p = expected[at(loop, token)];
        Loss& loss = losses[static_cast<size_t>(loop)];
        double kl = 0;
        for (size_t i = 0; i < log_p.size(); ++i) kl += std::exp(log_p[i]) * (log_p[i] - log_q[i]);
        loss.kl += kl;
        loss.kl_most = std::max(loss.kl_most, kl);
        loss.same_best += std::max_element(log_p.begin(), log_p.end()) - log_p.begin() ==
                          std::max_element(log_q.begin(), log_q.end()) - log_q.begin();
        ++loss.tokens;
        add_nll(loss, token, log_q);
        return {};
      };
      LOOPLM_RETURN_IF_ERROR(trace(*model, ids, trace_options).status());
    }
    for (int64_t t = 0; t < loops; ++t) {
      const Loss& loss = losses[static_cast<size_t>(t)];
      const Loss& before = reference[static_cast<size_t>(t)];
      const auto tokens = static_cast<double>(loss.tokens);
      const auto mean_nll = [](const Loss& l) { return l.nll / static_cast<double>(l.targets); };
      table.add({{"format", format},
                 {"loop", t + 1},
                 {"KL to f32, nats", fmt::format("{:.6f}", loss.kl / tokens)},
                 {"largest", fmt::format("{:.4f}", loss.kl_most)},
                 {"same best token %",
                  fmt::format("{:.2f}", 100 * static_cast<double>(loss.same_best) / tokens)},
                 {"perplexity", fmt::format("{:.3f}", std::exp(mean_nll(loss)))},
                 {"of f32", fmt::format("{:.3f}", std::exp(mean_nll(before)))}});
    }
  }
  table.print();
  return {};
}

}  // namespace

void add_compare_command(Program& program) {
  auto options = std::make_shared<CompareOptions>();
  Command* command = program.app().add_subcommand(
      "compare", "Compare weight formats with f32: divergence and perplexity after each loop");
  add_model_argument(*command, options->directory);
  command->add_option("--reference", options->reference,
                      "Model to compare with, in f32 (default: DIR itself)");
  command->add_option("--text", options->text, "Text to measure on (default: random ids)");
  command
      ->add_option("--dtype", options->formats,
                   "Formats: f32, bf16, int8, int4, or auto (as stored); a list")
      ->delimiter(',')
      ->check(one_of({"auto", "f32", "bf16", "int8", "int4"}))
      ->capture_default_str();
  add_kv_type_option(*command, options->kv_type);
  add_loops_option(*command, options->loops);
  command->add_option("--tokens", options->tokens, "Tokens per sample")
      ->check(range(int64_t{2}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--samples", options->samples, "Maximum number of samples")
      ->check(range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_threads(options->threads);
  add_format_option(*command, options->output);
  program.on(command, [options] { return compare(*options); });
}

}  // namespace looplm::cli
