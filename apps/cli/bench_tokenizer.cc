// looplm bench tokenizer: encoding and decoding speed on one core.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "looplm/tokenizer.h"

#include "base/count_text.h"
#include "base/file.h"
#include "base/json.h"
#include "base/timer.h"
#include "cli/bench.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"
#include "model/tokenizer_files.h"

namespace looplm::cli {
namespace {

struct TokenizerBenchOptions {
  std::string directory;
  std::string file;
  int repeats = 7;
  bool json = false;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Status bench_tokenizer(TokenizerBenchOptions options) {
  LOOPLM_ASSIGN_OR_RETURN(options.directory, locate_model(options.directory));
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          load_tokenizer(options.directory));
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(options.file));
  if (text.empty()) return invalid_argument(fmt::format("'{}' is empty", options.file));
  std::vector<double> encode, decode;
  std::vector<int32_t> ids;
  int64_t lost = 0;
  for (int i = 0; i < options.repeats; ++i) {
    Timer timer;
    LOOPLM_ASSIGN_OR_RETURN(ids, tokenizer->encode(text, {.as = EncodeAs::kContinuation,
                                                          .parse_special = false,
                                                          .lost_bytes = &lost}));
    encode.push_back(timer.seconds());
    timer = Timer();
    const std::string back = tokenizer->decode(ids);
    decode.push_back(timer.seconds());
    if (back.empty()) return invalid_argument("the tokenizer gives no text back");
  }
  const double megabytes = static_cast<double>(text.size()) * 1e-6;
  const double bytes_per_token =
      static_cast<double>(text.size()) / static_cast<double>(std::max<size_t>(ids.size(), 1));
  if (options.json) {
    OrderedJson json;
    json["tokenizer"] = options.directory;
    json["file"] = options.file;
    json["bytes"] = text.size();
    json["tokens"] = ids.size();
    json["repeats"] = options.repeats;
    json["encode_mb_per_s"] = megabytes / median(encode);
    json["decode_mb_per_s"] = megabytes / median(decode);
    fmt::print("{}\n", dump_json(json));
    return {};
  }
  fmt::print("{:.1f} MB, {:.2f} bytes per token; medians of {} on one core\n", megabytes,
             bytes_per_token, count_text(options.repeats, "run"));
  fmt::print("encode  {:7.1f} MB/s  {:6.2f} M tokens/s\n", megabytes / median(encode),
             static_cast<double>(ids.size()) * 1e-6 / median(encode));
  fmt::print("decode  {:7.1f} MB/s  {:6.2f} M tokens/s\n", megabytes / median(decode),
             static_cast<double>(ids.size()) * 1e-6 / median(decode));
  return {};
}

}  // namespace

void add_bench_tokenizer(Program& program, Command& bench) {
  auto o = std::make_shared<TokenizerBenchOptions>();
  Command* command =
      bench.add_subcommand("tokenizer", "Speed of encoding and decoding a text file, on one core");
  command->add_option("DIR", o->directory,
                      std::string(kTokenizerPlace) + " (default: the bundled model)");
  command->add_option("--file", o->file, "Text to encode; some megabytes")->required();
  command->add_option("--repeats", o->repeats, "Runs to take the median of")
      ->check(range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", o->json, "Print one JSON object");
  program.on(command, [o] { return bench_tokenizer(*o); });
}

}  // namespace looplm::cli
