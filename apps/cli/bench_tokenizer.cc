// looplm bench tokenizer: encoding and decoding speed on one core.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "looplm/tokenizer.h"

#include "base/count_text.h"
#include "base/file.h"
#include "base/timer.h"
#include "cli/bench.h"
#include "cli/bench_model.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"
#include "model/tokenizer_files.h"

namespace looplm::cli {
namespace {

struct TokenizerBenchOptions {
  std::string directory;
  std::string file;
  int repeats = 7;
  std::string output = "table";
};

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
  const auto tokens = static_cast<double>(ids.size());
  BenchTable table(options.output);
  table.title(fmt::format("{}, {}: {:.1f} MB, {:.2f} bytes per token; medians of {} on one core",
                          options.directory, options.file, megabytes,
                          static_cast<double>(text.size()) / std::max(tokens, 1.0),
                          count_text(options.repeats, "run")));
  for (const auto& [work, seconds] :
       {std::pair("encode", median_of(encode)), std::pair("decode", median_of(decode))}) {
    table.add(
        {{"work", work}, {"MB/s", megabytes / seconds}, {"M tokens/s", 1e-6 * tokens / seconds}});
  }
  table.print();
  return {};
}

}  // namespace

void add_bench_tokenizer(Program& program, Command& bench) {
  auto o = std::make_shared<TokenizerBenchOptions>();
  Command* command =
      bench.add_subcommand("tokenizer", "Speed of encoding and decoding a text file, on one core");
  command
      ->add_option("DIR", o->directory,
                   std::string(kTokenizerPlace) + " (default: the bundled model)")
      ->environment("LOOPLM_MODEL");
  command->add_option("--file", o->file, "Text to encode; some megabytes")->required();
  command->add_option("--repeats", o->repeats, "Runs to take the median of")
      ->check(range(1, 1000))
      ->capture_default_str();
  add_format_option(*command, o->output);
  program.on(command, [o] { return bench_tokenizer(*o); });
}

}  // namespace looplm::cli
