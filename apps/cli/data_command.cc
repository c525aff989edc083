// looplm data: token shards from text, and what is in one; generated tasks.
#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "base/count_text.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/json.h"
#include "base/timer.h"
#include "cli/commands.h"
#include "cli/loop_colors.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"
#include "eval/arithmetic.h"
#include "eval/teach.h"
#include "eval/word_problem.h"
#include "model/chat_model.h"
#include "model/tokenizer_files.h"
#include "tensor/memory_plan.h"
#include "train/data_loader.h"
#include "train/shard_builder.h"
#include "train/teacher_file.h"
#include "train/token_shard.h"

namespace looplm::cli {
namespace {

struct BuildOptions {
  std::vector<std::string> files;
  std::string tokenizer;
  std::string out;
  std::string held_out;
  std::string end_token;
  ShardBuildOptions build;
  int threads = 0;
  bool json = false;
};

Result<std::optional<int32_t>> end_token(const BuildOptions& options, const Tokenizer& tokenizer) {
  if (options.end_token == "none") return std::optional<int32_t>();
  if (!options.end_token.empty()) {
    const std::optional<int32_t> id = tokenizer.id_of(options.end_token);
    if (id) return id;
    return invalid_argument(fmt::format("--end-token '{}' is not in the vocabulary of '{}'",
                                        options.end_token, options.tokenizer));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::optional<int32_t> id,
                          end_token_of(options.tokenizer, tokenizer));
  if (id) return id;
  return invalid_argument(fmt::format(
      "'{}' names no eos_token in a tokenizer_config.json or GGUF key; give one with --end-token, "
      "or 'none'",
      options.tokenizer));
}

// The template by which chats are rendered. Where a missing one is replaced, the token that ends a
// document ends a turn too.
Result<ChatTemplate> training_template(const std::string& path, const Tokenizer& tokenizer,
                                       std::optional<int32_t> end_token) {
  LOOPLM_ASSIGN_OR_RETURN(ChatFiles files, model_chat_files(path, tokenizer));
  if (end_token) files.tokens.emplace("eos_token", tokenizer.bytes(*end_token));
  Result<ChatTemplate> created = ChatTemplate::create(files, tokenizer);
  if (!created.ok()) return created.status().with_context("'" + path + "'");
  ChatTemplate chat = std::move(created).value();
  if (!chat.converses() && files.tokens["eos_token"].empty()) {
    return invalid_argument(fmt::format(
        "'{}' has no chat template and no eos_token, so nothing would end a turn; name a token "
        "with --end-token",
        path));
  }
  return chat;
}

Status build(const BuildOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          load_tokenizer(options.tokenizer));
  ShardBuildOptions settings = options.build;
  LOOPLM_ASSIGN_OR_RETURN(settings.end_token, end_token(options, *tokenizer));
  const Result<ChatTemplate> chat =
      training_template(options.tokenizer, *tokenizer, settings.end_token);
  settings.chat = &chat;
  if (options.held_out.empty() != (settings.hold_out_every == 0)) {
    return invalid_argument("--held-out and --hold-out-every go together");
  }
  LOOPLM_ASSIGN_OR_RETURN(const int threads, choose_thread_count(options.threads));
  ThreadPool pool(threads);
  const Timer timer;
  LOOPLM_ASSIGN_OR_RETURN(
      const ShardBuildSummary s,
      build_shards(options.files, *tokenizer, settings, options.out, options.held_out, pool));
  const double seconds = timer.seconds();
  if (options.json) {
    OrderedJson json;
    json["shards"] = s.shards;
    json["documents"] = s.documents;
    json["tokens"] = s.tokens;
    json["targets"] = s.targets;
    json["bytes"] = s.bytes;
    json["lost_bytes"] = s.lost_bytes;
    json["skipped_documents"] = s.skipped_documents;
    json["empty_documents"] = s.empty_documents;
    json["without_reasoning"] = s.without_reasoning;
    json["without_end"] = s.without_end;
    json["plain_prompts"] = s.plain_prompts;
    json["held_out_documents"] = s.held_out_documents;
    json["held_out_tokens"] = s.held_out_tokens;
    json["seconds"] = seconds;
    fmt::print("{}\n", dump_json(json));
    return {};
  }
  const char* kind = s.pairs ? "preference pair" : "document";
  fmt::print("{}: {}, {} ({} learnt) in {}\n", options.out, count_text(s.documents, kind),
             count_text(s.tokens, "token"), s.targets, count_text(s.shards.size(), "shard"));
  if (s.held_out_documents > 0) {
    fmt::print("{}: {}, {}\n", options.held_out, count_text(s.held_out_documents, kind),
               count_text(s.held_out_tokens, "token"));
  }
  if (s.lost_bytes > 0) {
    fmt::print("{} of text left out, for which the tokenizer has no token\n",
               count_text(s.lost_bytes, "byte"));
  }
  if (s.skipped_documents > 0) {
    fmt::print("{} left out, the first: {}\n", count_text(s.skipped_documents, "bad document"),
               s.first_skipped);
  }
  if (s.empty_documents > 0) {
    fmt::print("{} without text left out\n", count_text(s.empty_documents, "document"));
  }
  if (s.without_reasoning > 0) {
    fmt::print(
        "note: {} reasoning that is not learnt, since the chat template does not write it there; "
        "write it into the content, as <think>...</think>, to have it learnt\n",
        count_text(s.without_reasoning, "chat has", "chats have"));
  }
  if (s.without_end > 0) {
    fmt::print(
        "note: {} answers after which the chat template writes no special token; the model may "
        "not learn to end them\n",
        count_text(s.without_end, "chat has", "chats have"));
  }
  fmt::print("{} of text, {:.2f} bytes per token, {:.1f} s\n",
             bytes_text(static_cast<uint64_t>(s.bytes)),
             static_cast<double>(s.bytes) /
                 static_cast<double>(std::max<int64_t>(s.tokens + s.held_out_tokens, 1)),
             seconds);
  if (s.plain_prompts > 0) {
    Result<ChatFiles> files = model_chat_files(options.tokenizer, *tokenizer);
    if (!files.ok() || files->templates.empty()) return {};
    fmt::print(
        "note: {} plain text, around which the chat template writes nothing; expected lists "
        "of messages where chats are meant\n",
        count_text(s.plain_prompts, "prompt is", "prompts are"));
  }
  return {};
}

struct ShowOptions {
  std::string shard;
  std::string tokenizer;
  std::string color = "auto";
  int64_t first = 0;
  int64_t count = 3;
};

// One line for each stretch that is learnt or only read, in quotes; in colours all text in one,
// what is learnt in green. Control characters are shown by their numbers, for they may steer a
// terminal.
void show_document(const TokenShard& shard, int64_t document, std::span<const int32_t> ids,
                   const Tokenizer* tokenizer, bool colors) {
  for (size_t first = 0, end = 0; first < ids.size(); first = end) {
    const bool learnt = shard.is_learnt(document, static_cast<int64_t>(first));
    while (end < ids.size() && shard.is_learnt(document, static_cast<int64_t>(end)) == learnt) {
      ++end;
    }
    const std::vector<int32_t> part(ids.begin() + static_cast<int64_t>(first),
                                    ids.begin() + static_cast<int64_t>(end));
    if (colors) {
      const std::string text = shown(tokenizer->decode(part, false));
      fmt::print("{}{}{}", learnt ? "\x1b[1;32m" : "", text, learnt ? "\x1b[0m" : "");
      continue;
    }
    fmt::print(
        "  {}  {}\n", learnt ? "learn" : "read ",
        tokenizer ? cli::quoted(tokenizer->decode(part, false)) : dump_json(OrderedJson(part)));
  }
  if (colors) fmt::print("\n");
}

Status show(const ShowOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const TokenShard shard, TokenShard::open(options.shard));
  LOOPLM_RETURN_IF_ERROR(shard.verify());
  std::unique_ptr<Tokenizer> tokenizer;
  if (!options.tokenizer.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(tokenizer, load_tokenizer(options.tokenizer));
    LOOPLM_RETURN_IF_ERROR(check_same_tokenizer("'" + shard.path() + "'", shard.vocabulary(),
                                                "'" + options.tokenizer + "'", *tokenizer));
  }
  const std::string pairs =
      shard.is_pairs() ? " of " + count_text(shard.documents() / 2, "preference pair") : "";
  fmt::print("{}: {}{}, {} ({} learnt), vocabulary {}, hash {:016x}\n", shard.path(),
             count_text(shard.documents(), "document"), pairs, count_text(shard.tokens(), "token"),
             shard.count_targets(), shard.vocab_size(), shard.hash());
  if (options.first >= shard.documents() && options.count > 0) {
    return invalid_argument(fmt::format("--first {}: the shard has {}", options.first,
                                        count_text(shard.documents(), "document")));
  }
  const int64_t last = std::min(options.first + options.count, shard.documents());
  const bool colors = use_colors(options.color);
  for (int64_t d = options.first; d < last; ++d) {
    std::vector<int32_t> ids(static_cast<size_t>(shard.document_length(d)));
    LOOPLM_RETURN_IF_ERROR(shard.read(d, 0, ids));
    const char* part = !shard.is_pairs() ? "" : d % 2 == 0 ? ", chosen" : ", rejected";
    fmt::print("document {}{}: {}\n", d, part, count_text(ids.size(), "token"));
    show_document(shard, d, ids, tokenizer.get(), tokenizer != nullptr && colors);
  }
  return {};
}

struct TeachOptions {
  std::string shards;
  ModelChoice model;
  int64_t top = 32;
};

Status teach(const TeachOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string path, locate_model(options.model.directory));
  LOOPLM_ASSIGN_OR_RETURN(const TokenDataset data, TokenDataset::open(options.shards));
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          Model::load(path, options.model.options()));
  for (const TokenShard& shard : data.shards()) {
    const Timer timer;
    LOOPLM_RETURN_IF_ERROR(shard.verify());
    LOOPLM_RETURN_IF_ERROR(teach_shard(shard, *model, options.top));
    fmt::print("{}: {} for each of {}, {:.1f} s\n", teacher_path(shard.path()),
               count_text(options.top, "token"), count_text(shard.count_targets(), "target"),
               timer.seconds());
  }
  return {};
}

struct ArithmeticFileOptions {
  ArithmeticOptions task;
  std::string out;
  int64_t examples = 1000;
};

Status arithmetic(const ArithmeticFileOptions& options) {
  LOOPLM_RETURN_IF_ERROR(check(options.task));
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter writer, AtomicFileWriter::create(options.out));
  for (int64_t i = 0; i < options.examples; ++i) {
    const ArithmeticExample example = arithmetic_example(options.task, static_cast<uint64_t>(i));
    OrderedJson json;
    json["prompt"] = example.prompt;
    json["completion"] = example.completion;
    json["operations"] = example.operations;
    json["steps_needed"] = example.steps_needed;
    LOOPLM_RETURN_IF_ERROR(writer.write(dump_json(json) + "\n"));
  }
  LOOPLM_RETURN_IF_ERROR(writer.commit());
  fmt::print("{}: {}\n", options.out, count_text(options.examples, "example"));
  return {};
}

struct WordProblemFileOptions {
  WordProblemOptions task;
  std::string out;
  int64_t examples = 1000;
};

Status word_problems(const WordProblemFileOptions& options) {
  const WordProblemOptions& task = options.task;
  LOOPLM_RETURN_IF_ERROR(check(task));
  LOOPLM_ASSIGN_OR_RETURN(AtomicFileWriter writer, AtomicFileWriter::create(options.out));
  for (int64_t i = 0; i < options.examples; ++i) {
    const WordProblem problem = word_problem(task, static_cast<uint64_t>(i));
    OrderedJson json;
    for (const WordProblemTurn& turn : problem.turns) {
      if (task.form == WordProblemForm::kProse) {
        json["turns"].push_back({{"prompt", turn.question}, {"completion", turn.answer}});
        continue;
      }
      json["messages"].push_back({{"role", "user"}, {"content", turn.question}});
      json["messages"].push_back({{"role", "assistant"}, {"content", turn.answer}});
    }
    const WordProblemTurn& first = problem.turns.front();
    if (first.number && task.form == WordProblemForm::kChat) {
      json["question"] = first.question;
      json["opening"] = first.opening;
      json["number"] = *first.number;
      json["steps"] = first.steps;
    }
    LOOPLM_RETURN_IF_ERROR(writer.write(dump_json(json) + "\n"));
  }
  LOOPLM_RETURN_IF_ERROR(writer.commit());
  fmt::print("{}: {}\n", options.out, count_text(options.examples, "example"));
  return {};
}

void add_build(Program& program, Command& data) {
  auto o = std::make_shared<BuildOptions>();
  Command* command = data.add_subcommand("build", "Build token shards from text");
  command
      ->add_option(
          "FILES", o->files,
          "Text files, which --split cuts, or .jsonl files of 'text', of 'prompt' (read, not "
          "learnt) and 'completion', of chats ('messages', 'conversations' or 'instruction') or of "
          "preference pairs; .gz and .zst too (docs/training.md)")
      ->required();
  command->add_option("--tokenizer", o->tokenizer, kTokenizerPlace)->required();
  command->add_option("--out", o->out, "Shard to write; with --shard-tokens a directory")
      ->required();
  command->add_choice("--split", o->build.split, kTextSplitNames,
                      "Where a text file is cut into documents: paragraph, line or file");
  command->add_option(
      "--end-token", o->end_token,
      "Token after each document, and after a chat whose last answer has no end of its "
      "own, or none (default: the tokenizer's eos_token)");
  command->add_flag("--allow-loss", o->build.allow_loss,
                    "Leave out and count what the tokenizer has no token for (default: an error)");
  command->add_flag("--skip-bad", o->build.skip_bad,
                    "Leave out and count documents that cannot be read (default: an error)");
  command
      ->add_option("--shard-tokens", o->build.shard_tokens,
                   "Start a new shard after this many tokens (0: one shard)")
      ->check(range(int64_t{0}, int64_t{1} << 40))
      ->capture_default_str();
  command
      ->add_option("--hold-out-every", o->build.hold_out_every,
                   "Put every n-th document in the --held-out shard (0: none)")
      ->check(range(int64_t{0}, int64_t{1} << 40))
      ->capture_default_str();
  command->add_option("--held-out", o->held_out, "Shard of held-out documents");
  command->add_threads(o->threads);
  command->add_flag("--json", o->json, "Print the summary as one JSON object");
  program.on(command, [o]() -> Status {
    LOOPLM_ASSIGN_OR_RETURN(o->tokenizer, locate_named_model(o->tokenizer));
    return build(*o);
  });
}

void add_show(Program& program, Command& data) {
  auto o = std::make_shared<ShowOptions>();
  Command* command = data.add_subcommand("show", "Check a token shard and print documents from it");
  command->add_option("SHARD", o->shard, "A token shard")->required();
  command->add_option("--tokenizer", o->tokenizer,
                      "Show text by the tokenizer of this model directory or GGUF file");
  add_color_option(*command, o->color,
                   "Show what is learnt in green, instead of in quotes on lines of its own: auto "
                   "(at a terminal), always or never");
  command->add_option("--first", o->first, "First document to print")
      ->check(not_negative())
      ->capture_default_str();
  command->add_option("-n,--count", o->count, "Documents to print")
      ->check(not_negative())
      ->capture_default_str();
  program.on(command, [o]() -> Status {
    if (!o->tokenizer.empty()) {
      LOOPLM_ASSIGN_OR_RETURN(o->tokenizer, locate_named_model(o->tokenizer));
    }
    return show(*o);
  });
}

void add_teach(Program& program, Command& data) {
  auto o = std::make_shared<TeachOptions>();
  Command* command = data.add_subcommand(
      "teach",
      "Write what a model says about a shard's tokens to X.teacher beside X.tokens, for another "
      "model to learn (objective.kind distil with objective.teacher file)");
  command->add_option("SHARD", o->shards, "A shard, or a directory of shards")->required();
  command->add_option("--model", o->model.directory, "The teacher: a model with the same tokenizer")
      ->required();
  command->add_option("--top", o->top, "Most likely tokens to keep for each target")
      ->check(range(int64_t{1}, int64_t{4096}))
      ->capture_default_str();
  add_weight_options(*command, o->model);
  program.on(command, [o] { return teach(*o); });
}

void add_arithmetic(Program& program, Command& data) {
  auto o = std::make_shared<ArithmeticFileOptions>();
  Command* command = data.add_subcommand(
      "arithmetic",
      "Generate sums computed from left to right, last digit only: the answer to '7-2*3+8=' is 3, "
      "after three steps");
  command->add_option("--out", o->out, "The .jsonl file to write")->required();
  command->add_option("--examples", o->examples, "Number of examples")
      ->check(range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  command->add_option("--min-operations", o->task.min_operations, "Fewest operations")
      ->capture_default_str();
  command->add_option("--max-operations", o->task.max_operations, "Most operations")
      ->capture_default_str();
  command->add_choice("--split", o->task.split, kArithmeticSplitNames,
                      "train, or held-out: a sixteenth of all prompts by hash");
  command->add_option("--seed", o->task.seed, "Seed")->capture_default_str();
  program.on(command, [o] { return arithmetic(*o); });
}

void add_word_problems(Program& program, Command& data) {
  auto o = std::make_shared<WordProblemFileOptions>();
  Command* command = data.add_subcommand(
      "word-problems",
      "Generate chats about small numbers, whose answers take a known number of steps");
  command->add_option("--out", o->out, "The .jsonl file to write")->required();
  command->add_option("--examples", o->examples, "Number of examples")
      ->check(range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  command->add_choice(
      "--kind", o->task.kind, kWordProblemKindNames,
      "sum ('What is 3 + 4 - 5?'), chain ('Start with 3, add 4'), story, talk (about the model), "
      "mixed (turns of all kinds, which change their subject), or lookup (prose alone: 'Ann 5, "
      "Tom 7. Tom 7.')");
  command->add_choice("--form", o->task.form, kWordProblemFormNames,
                      "chat, or prose of which the numbers alone are learnt, for pre-training");
  command->add_choice(
      "--wording", o->task.wording, kWordProblemWordingNames,
      "Of stories: plain, free ('A farmer had 8 cows and 3 ran away', 'I have'), or wide (free, "
      "and what people type: 'How many does she have left?', 'Eva has 6 fewer'). Of sums: wide "
      "adds '3+4'. Of lookups: plain lists, or sentences too");
  command
      ->add_option("--tell-every", o->task.tell_every,
                   "Continue the story before 1 in this many later questions")
      ->capture_default_str();
  command
      ->add_option("--before", o->task.before,
                   "Ask about the past only up to this many events back")
      ->capture_default_str();
  command
      ->add_option("--people", o->task.people,
                   "People of a story: 1, 2, or 0 (two in five are about two; of a lookup: 2 to 4)")
      ->capture_default_str();
  command
      ->add_option("--stories", o->task.stories,
                   "Mixed chats: this many stories (1 to 8) for each sum, chain, and small talk")
      ->capture_default_str();
  command
      ->add_option("--names", o->task.names,
                   "Training: only the first 8 to 100 names of the list (0: all)")
      ->capture_default_str();
  command
      ->add_option("--things", o->task.things,
                   "Stories: only the first 2 to 14 things of each list (0: all)")
      ->capture_default_str();
  command
      ->add_option("--equal", o->task.equal,
                   "Stories of two people: begin 1 in this many with equal numbers (0: by chance)")
      ->capture_default_str();
  command
      ->add_option("--made-up", o->task.made_up,
                   "Make up 1 name in this many from syllables (0: none)")
      ->capture_default_str();
  command
      ->add_option("--made-up-things", o->task.made_up_things,
                   "Make up 1 kind of things in this many from syllables (0: none)")
      ->capture_default_str();
  command
      ->add_option("--ask-every", o->task.ask_every,
                   "Prose: 1 count in this many answers a question about the story (0: none)")
      ->capture_default_str();
  command
      ->add_option("--count-every", o->task.count_every,
                   "Prose: write a count after 1 in this many steps (0: after the last one alone)")
      ->capture_default_str();
  command->add_option("--min-steps", o->task.min_steps, "Fewest steps to the first answer")
      ->capture_default_str();
  command->add_option("--max-steps", o->task.max_steps, "Most steps to the first answer")
      ->capture_default_str();
  command->add_option("--turns", o->task.turns, "Questions about one story")->capture_default_str();
  command->add_choice(
      "--split", o->task.split, kWordProblemSplitNames,
      "train, or held-out: a sixteenth of the operations and numbers, and other names");
  command->add_option("--seed", o->task.seed, "Seed")->capture_default_str();
  program.on(command, [o] { return word_problems(*o); });
}

}  // namespace

void add_data_command(Program& program) {
  Command* data = program.app().add_subcommand("data", "Build and inspect training data");
  data->require_subcommand();
  add_build(program, *data);
  add_show(program, *data);
  add_teach(program, *data);
  add_arithmetic(program, *data);
  add_word_problems(program, *data);
}

}  // namespace looplm::cli
