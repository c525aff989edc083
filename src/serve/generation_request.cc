#include "serve/generation_request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <random>

#include <fmt/format.h>

#include "grammar/gbnf.h"
#include "grammar/json_parts.h"
#include "grammar/json_schema.h"
#include "grammar/pattern.h"
#include "infer/exit_rule.h"
#include "infer/request.h"
#include "infer/speculation_text.h"
#include "serve/translated_answer.h"

namespace looplm {
namespace {

constexpr int64_t kMostChoices = 128;
constexpr size_t kMostStops = 64;
constexpr double kMostTemperature = 2;  // OpenAI's
constexpr double kMostPenalty = 2;      // OpenAI's; of presence and frequency
constexpr double kMostRepetition = 100;
constexpr size_t kMostGrammarBytes = size_t{1} << 20;

uint64_t random_seed() {
  std::random_device device;
  // Below 2^53, so that every JSON reader keeps it exactly.
  return ((uint64_t{device()} << 32) ^ device()) & ((uint64_t{1} << 53) - 1);
}

// Any whole number that 64 bits hold. Negative ones wrap, as other servers have it, and -1 stands
// for none at all, as in llama.cpp, Ollama and vLLM.
uint64_t read_seed(Fields& f) {
  const OrderedJson* value = f.find("seed");
  if (value == nullptr) return random_seed();
  if (value->is_number() && value->get<double>() == -1) return random_seed();
  if (value->is_number_unsigned()) return value->get<uint64_t>();
  if (value->is_number_integer()) return static_cast<uint64_t>(value->get<int64_t>());
  if (value->is_number()) {  // 3.0 is a whole number in JSON as much as 3 is
    const auto number = value->get<double>();
    // -2^63 itself is read above; here it stands for all that a double rounds to it.
    if (std::floor(number) == number && number > -0x1p63 && number < 0x1p64) {
      return number < 0 ? static_cast<uint64_t>(static_cast<int64_t>(number))
                        : static_cast<uint64_t>(number);
    }
  }
  f.wrong_value("seed", *value, "a whole number from -2^63 to 2^64 - 1");
  return 0;
}

void read_stops(Fields& f, GenerateOptions& o, int64_t vocabulary) {
  if (const OrderedJson* stop = f.find("stop")) {
    const std::vector<OrderedJson> list = stop->is_array()
                                              ? std::vector<OrderedJson>(stop->begin(), stop->end())
                                              : std::vector<OrderedJson>{*stop};
    if (list.size() > kMostStops)
      f.wrong("stop", fmt::format("has {} texts; expected at most {}", list.size(), kMostStops));
    for (const OrderedJson& one : list) {
      if (!one.is_string()) return f.wrong_value("stop", *stop, "a text or a list of texts");
      if (one.get<std::string>().empty()) return f.wrong("stop", "holds an empty text");
      o.stop_strings.push_back(one.get<std::string>());
    }
  }
  if (const OrderedJson* ids = f.find("stop_token_ids")) {
    o.stop_ids = read_ids(f, "stop_token_ids", *ids, vocabulary);
  }
  o.ignore_eos = f.boolean("ignore_eos", false);
}

void read_bias(Fields& f, SamplingOptions& sampling, int64_t vocabulary) {
  const OrderedJson* bias = f.find("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object()) {
    return f.wrong_value("logit_bias", *bias, "an object from token ids to numbers");
  }
  for (const auto& [key, value] : bias->items()) {
    int64_t id = -1;
    const auto [stopped, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || stopped != key.data() + key.size() || id < 0 || id >= vocabulary) {
      return f.wrong("logit_bias", fmt::format("has the key '{}'; expected token ids from 0 to {}",
                                               key, vocabulary - 1));
    }
    const double number = value.is_number() ? value.get<double>() : std::nan("");
    if (!(std::abs(number) <= 100)) {
      return f.wrong("logit_bias",
                     fmt::format("of token {} is {}; expected a number from -100 to 100", id,
                                 shown_json(value)));
    }
    sampling.logit_bias[static_cast<int32_t>(id)] = number;
  }
}

void read_sampling(Fields& f, SamplingOptions& s, int64_t vocabulary) {
  s.temperature = f.number("temperature", 1, 0, kMostTemperature);
  s.top_p = f.number("top_p", 1, 0, 1);
  if (s.top_p == 0 && !f.failed()) s.top_p = 1e-9;  // the likeliest token alone
  // -1 is what some clients send for "all".
  const int64_t top_k = f.integer("top_k", 0, -1, INT32_MAX);
  s.top_k = top_k < 0 || top_k >= vocabulary ? 0 : top_k;
  s.min_p = f.number("min_p", 0, 0, 1);
  s.presence_penalty = f.number("presence_penalty", 0, -kMostPenalty, kMostPenalty);
  s.frequency_penalty = f.number("frequency_penalty", 0, -kMostPenalty, kMostPenalty);
  for (const char* name : {"repetition_penalty", "repeat_penalty"}) {
    if (f.has(name)) s.repetition_penalty = f.number(name, 1, 1e-3, kMostRepetition);
  }
  read_bias(f, s, vocabulary);
  s.seed = read_seed(f);
}

// true, false, or a rule such as "loop:2".
void read_speculation(Fields& loop, const ServedModel& served, SpeculateOptions& speculate) {
  const OrderedJson* value = loop.find("speculate");
  if (value == nullptr) return;
  if (value->is_boolean()) {
    speculate = value->get<bool>() ? served.speculate : SpeculateOptions{};
    if (value->get<bool>() && speculate.kind == CommitKind::kNever) {
      speculate = {CommitKind::kAuto};
    }
    return;
  }
  const Result<SpeculateOptions> rule = speculation_from_text(loop.text("speculate", ""));
  if (!rule.ok()) return loop.wrong("speculate", rule.status().message() + ", true or false");
  speculate = rule.value();
}

// The fields `target_depth` and `class`: a threshold that `looplm tune` has measured. Without a
// word about the depth, the newest one. It depends on the request alone, not on what else runs.
void read_tuned_depth(Fields& loop, const ServedModel& served, bool asked, ExitOptions& exit) {
  for (const char* other : {"exit", "threshold"}) {
    if (asked && loop.says(other)) {
      return loop.wrong(loop.has("target_depth") ? "target_depth" : "class",
                        fmt::format("and '{}' both choose the threshold; expected one", other));
    }
  }
  if (!asked) {
    for (const char* other : {"exit", "threshold", "max_loops", "min_loops", "kv", "read_out"}) {
      if (loop.says(other)) return;
    }
  }
  const std::string name = loop.text("class", "");
  std::string names;
  const TunedDepth* tuned = nullptr;
  for (const TunedDepth& t : served.tuned) {
    if (tuned == nullptr && (name.empty() || name == t.task)) tuned = &t;
    names += (names.empty() ? "" : ", ") + t.task;
  }
  if (tuned == nullptr) {
    if (!asked) return;
    return loop.wrong(name.empty() ? "target_depth" : "class",
                      names.empty()
                          ? "needs a model that `looplm tune` has measured, and this one was not"
                          : fmt::format("is '{}'; this model was tuned on {}", name, names));
  }
  ExitOptions chosen = tuned->exit();
  if (loop.has("target_depth")) {
    const double target = loop.number("target_depth", 1, 1, static_cast<double>(kMaxLoops));
    const Result<ExitOptions> at = tuned->exit_at(target);
    if (!at.ok()) return loop.wrong("target_depth", ": " + at.status().message());
    chosen = at.value();
  }
  exit.kind = chosen.kind;
  exit.threshold = chosen.threshold;
}

void read_loop(Fields& f, const ServedModel& served, GenerationRequest& r) {
  Fields loop = f.inner("loop");
  loop.expect_only({"max_loops", "min_loops", "exit", "threshold", "target_depth", "class", "kv",
                    "read_out", "speculate", "per_token", "provisional"});
  const ModelConfig& config = served.model->config();
  GenerateOptions& o = r.options;
  o.exit.max_loops = loop.integer("max_loops", 0, 1, kMaxLoops);
  const int64_t loops = o.exit.max_loops == 0 ? config.loops : o.exit.max_loops;
  o.exit.min_loops = loop.integer("min_loops", 1, 1, loops);
  const bool tuned = loop.has("target_depth") || loop.says("class");
  const OrderedJson* rule = loop.says("exit") ? loop.find("exit") : nullptr;
  if (rule != nullptr || loop.has("threshold")) {
    const Result<ExitKind> kind =
        rule == nullptr ? Result<ExitKind>(ExitKind::kGate)
                        : exit_kind_from_name(rule->is_string() ? rule->get<std::string>() : "");
    if (rule != nullptr && !kind.ok()) {
      loop.wrong_value("exit", *rule, "fixed, q, difference, relative, margin or entropy");
    } else {
      o.exit.kind = kind.value();
      if (o.exit.kind != ExitKind::kFixed && !loop.has("threshold") && !tuned) {
        loop.wrong("threshold", "is missing; the exit rule needs it");
      }
    }
  }
  o.exit.threshold = loop.number("threshold", 1, 0, 1e9);
  read_tuned_depth(loop, served, tuned, o.exit);
  const Status exit = make_exit_rule(o.exit, config.exit_gate).status();
  if (!exit.ok()) loop.wrong(config.exit_gate ? "threshold" : "exit", ": " + exit.message());
  if (loop.says("kv")) {
    const std::string name = loop.text("kv", "full");
    const std::optional<KvPolicy> kv = kv_policy_from_name(name);
    if (!kv.has_value()) {
      loop.wrong("kv",
                 fmt::format("is '{}'; expected full, last, mean, first or last-exited", name));
    }
    o.kv = kv.value_or(KvPolicy::kFull);
  }
  const std::string read_out = loop.one_of("read_out", "selected", {"selected", "weighted"});
  if (read_out == "weighted") o.read_out = ReadOut::kWeighted;
  // Without a word about it, speculation is the server's choice, where it changes nothing.
  if (o.kv == KvPolicy::kFull && o.read_out == ReadOut::kSelected &&
      o.exit.kind == ExitKind::kFixed && loops > 1) {
    o.speculate = served.speculate;
    if (o.speculate.kind == CommitKind::kLoop &&
        o.speculate.threshold >= static_cast<double>(loops)) {
      o.speculate = {};
    }
  }
  read_speculation(loop, served, o.speculate);
  r.per_token = loop.boolean("per_token", false);
  r.provisional = loop.boolean("provisional", false);
  if (r.provisional && !r.stream) loop.wrong("provisional", "needs \"stream\": true");
  f.adopt(loop);
  // What the engine would say of these options together.
  Request probe;
  probe.prompt = {0};
  probe.options = o;
  probe.options.max_tokens = 1;
  const Status together = check_request(probe, *served.model).status();
  if (!together.ok()) f.wrong("loop", ": " + together.message());
}

// Other servers' fields that change what is written and are not obeyed here, with the value that
// asks for nothing.
const OrderedJson& foreign_fields() {
  static const OrderedJson fields = {{"mirostat", 0},
                                     {"typical_p", 1},
                                     {"tfs_z", 1},
                                     {"dynatemp_range", 0},
                                     {"xtc_probability", 0},
                                     {"dry_multiplier", 0},
                                     {"top_a", 0},
                                     {"min_tokens", 0},
                                     {"length_penalty", 1},
                                     {"use_beam_search", false},
                                     {"early_stopping", false},
                                     {"allowed_token_ids", nullptr},
                                     {"bad_words", {}},
                                     {"prompt_logprobs", nullptr},
                                     {"n_predict", nullptr},
                                     {"include_stop_str_in_output", false},
                                     {"n_probs", 0},
                                     {"truncate_prompt_tokens", nullptr},
                                     {"samplers", nullptr},
                                     {"skip_special_tokens", true},
                                     {"top_n_sigma", -1},
                                     {"adaptive_target", -1},
                                     {"max_new_tokens", nullptr},
                                     {"min_new_tokens", 0},
                                     {"logits_processors", OrderedJson::array()},
                                     {"ebnf", ""},
                                     {"structural_tag", ""},
                                     {"return_tokens_as_token_ids", false},
                                     {"return_token_ids", false},
                                     {"return_tokens", false},
                                     {"post_sampling_probs", false},
                                     {"lora", OrderedJson::array()},
                                     {"prompt_embeds", nullptr}};
  return fields;
}

// A grammar in a request: where it stands, what identifies it, and how it is read.
struct GrammarField {
  std::string name;
  std::string key;
  std::function<Result<Grammar>()> make;
};

Grammar single_rule(ExpressionPtr expression) {
  Grammar grammar;
  grammar.start = grammar.declare("root");
  grammar.rules[0].expression = std::move(expression);
  return grammar;
}

// The schema itself, or its text.
void add_schema(Fields& f, const std::string& name, const OrderedJson& given,
                std::vector<GrammarField>& found) {
  OrderedJson schema = given;
  if (given.is_string()) {
    Result<OrderedJson> parsed = parse_ordered_json(given.get<std::string>(), "as a schema");
    if (!parsed.ok()) return f.wrong(name, "cannot be read " + parsed.status().message());
    schema = std::move(parsed).value();
  }
  const std::string key = "schema " + dump_json(schema);
  if (key.size() > kMostGrammarBytes) {
    return f.wrong(name,
                   fmt::format("has {} bytes; expected at most {}", key.size(), kMostGrammarBytes));
  }
  found.push_back({f.path_of(name), key, [schema] { return json_schema_grammar(schema); }});
}

void add_json_object(const std::string& name, std::vector<GrammarField>& found) {
  found.push_back({name, "json object", [] { return Result<Grammar>(json_object_grammar()); }});
}

// Null: there is no such field. Empty texts count as absent.
struct GuideNames {
  const char* grammar;
  const char* regex;
  const char* schema;
  const char* choice;
};

void read_guides(Fields& f, const GuideNames& names, std::vector<GrammarField>& found) {
  if (const std::string text = f.text(names.grammar, ""); !text.empty()) {
    found.push_back(
        {f.path_of(names.grammar), "grammar " + text, [text] { return parse_gbnf(text); }});
  }
  if (const std::string text = f.text(names.regex, ""); !text.empty()) {
    found.push_back({f.path_of(names.regex), "regex " + text, [text]() -> Result<Grammar> {
                       LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr e, parse_full_pattern(text));
                       return single_rule(std::move(e));
                     }});
  }
  if (f.says(names.schema)) add_schema(f, names.schema, *f.find(names.schema), found);
  const OrderedJson* choices = names.choice == nullptr ? nullptr : f.find(names.choice);
  if (choices == nullptr) return;
  const auto is_text = [](const OrderedJson& one) { return one.is_string(); };
  if (!choices->is_array() || choices->empty() || !std::ranges::all_of(*choices, is_text)) {
    return f.wrong_value(names.choice, *choices, "a non-empty list of texts");
  }
  const auto texts = choices->get<std::vector<std::string>>();
  found.push_back({f.path_of(names.choice), "choice " + dump_json(*choices),
                   [texts] { return Result<Grammar>(single_rule(one_of_texts(texts))); }});
}

// vLLM's newer form of guided_json and its like.
void read_structured_outputs(Fields& f, std::vector<GrammarField>& found) {
  const OrderedJson* object = f.find("structured_outputs");
  if (object == nullptr) return;
  Fields inner(*object, "structured_outputs");
  const size_t before = found.size();
  read_guides(inner, {"grammar", "regex", "json", "choice"}, found);
  if (inner.boolean("json_object", false)) {
    add_json_object(inner.path_of("json_object"), found);
  }
  inner.refuse("structural_tag", "write json, regex, choice or grammar");
  inner.refuse("whitespace_pattern", "the length of white space in JSON is always limited");
  for (const char* name : {"disable_any_whitespace", "disable_additional_properties"}) {
    inner.refuse(name, "say it in the schema or in a grammar", false);
  }
  f.adopt(inner);
  if (found.size() == before) {
    f.wrong_value("structured_outputs", *object, "json, regex, choice, grammar or json_object");
  }
}

void read_response_format(Fields& f, std::vector<GrammarField>& found) {
  const OrderedJson* object = f.find("response_format");
  if (object == nullptr) return;
  Fields format(*object, "response_format");
  const std::string type =
      format.one_of("type", "", {"text", "json_object", "json_schema", "grammar", "regex"});
  if (type.empty()) format.wrong("type", "is missing");
  if (type == "json_object") {
    // llama.cpp's form: a schema right beside the type.
    if (const OrderedJson* schema = format.find("schema")) {
      add_schema(format, "schema", *schema, found);
    } else {
      add_json_object("response_format", found);
    }
  } else if (type == "json_schema") {
    if (const OrderedJson* inner = format.find("json_schema")) {
      Fields named(*inner, "response_format.json_schema");
      if (const OrderedJson* schema = named.find("schema")) {
        add_schema(named, "schema", *schema, found);
      } else {
        named.wrong("schema", "is missing");
      }
      format.adopt(named);
    } else if (const OrderedJson* schema = format.find("schema")) {  // llama.cpp's form again
      add_schema(format, "schema", *schema, found);
    } else {
      format.wrong("json_schema", "is missing");
    }
  } else if (type == "grammar" || type == "regex") {
    const std::string text = format.text(type, "");
    if (text.empty()) format.wrong(type, "is missing");
    found.push_back(
        {"response_format." + type, type + " " + text, [type, text]() -> Result<Grammar> {
           if (type == "grammar") return parse_gbnf(text);
           LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr e, parse_full_pattern(text));
           return single_rule(std::move(e));
         }});
  }
  f.adopt(format);
}

void read_grammar(Fields& f, const ServedModel& served, GenerationRequest& r) {
  std::vector<GrammarField> found;
  read_response_format(f, found);
  read_guides(f, {"grammar", "regex", "json_schema", nullptr}, found);
  read_guides(f, {"guided_grammar", "guided_regex", "guided_json", "guided_choice"}, found);
  read_structured_outputs(f, found);
  if (f.failed() || found.empty()) return;
  if (found.size() > 1) {
    return f.wrong(found[1].name,
                   fmt::format("and '{}' both say what the answer may be; expected one of them",
                               found[0].name));
  }
  if (served.grammars == nullptr) {
    return f.wrong(found[0].name, "needs a model with a tokenizer, and this one has none");
  }
  if (found[0].key.size() > kMostGrammarBytes) {
    return f.wrong(found[0].name, fmt::format("has more than {} bytes", kMostGrammarBytes));
  }
  Result<std::shared_ptr<CompiledGrammar>> grammar =
      served.grammars->get(found[0].key, found[0].make);
  if (!grammar.ok())
    return f.wrong(found[0].name, "is not accepted: " + grammar.status().message());
  r.grammar = std::move(grammar).value();
  r.grammar_key = found[0].key;
  r.make_grammar = found[0].make;
}

}  // namespace

std::vector<int32_t> read_ids(Fields& fields, const std::string& name, const OrderedJson& list,
                              int64_t vocabulary) {
  std::vector<int32_t> ids;
  if (!list.is_array()) {
    fields.wrong_value(name, list, "a list of token ids");
    return ids;
  }
  ids.reserve(list.size());
  for (const OrderedJson& value : list) {
    // 3.0 is a whole number in JSON as much as 3 is.
    const double number = value.is_number() ? value.get<double>() : -1;
    const bool whole = std::floor(number) == number && number >= 0 && number <= INT32_MAX;
    const int64_t id = whole ? static_cast<int64_t>(number) : -1;
    if (id < 0 || id >= vocabulary) {
      fields.wrong(name, fmt::format("holds {}; expected token ids from 0 to {}", shown_json(value),
                                     vocabulary - 1));
      return {};
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

void copy_extensions(const OrderedJson& from, OrderedJson& to) {
  copy_fields(from,
              {"loop",
               "seed",
               "priority",
               "timeout",
               "top_k",
               "min_p",
               "presence_penalty",
               "frequency_penalty",
               "repetition_penalty",
               "repeat_penalty",
               "logit_bias",
               "ignore_eos",
               "stop_token_ids",
               "chat_template",
               "chat_template_kwargs",
               "grammar",
               "guided_grammar",
               "regex",
               "guided_regex",
               "json_schema",
               "guided_json",
               "guided_choice",
               "structured_outputs"},
              to);
  for (const auto& [name, neutral] : foreign_fields().items()) {
    copy_fields(from, {name.c_str()}, to);
  }
}

void read_generation_fields(Fields& f, const ServedModel& served, GenerationRequest& r) {
  for (const auto& [name, neutral] : foreign_fields().items()) {
    const OrderedJson* value = f.find(name);
    const bool off = name == "top_n_sigma" && value != nullptr && *value == 0;  // as -1 is
    if (!off) f.refuse(name, "no such option here", neutral);
  }
  const int64_t vocabulary = served.model->config().vocab_size;
  r.choices = f.integer("n", 1, 1, kMostChoices);
  r.stream = f.boolean("stream", false);
  if (const OrderedJson* options = f.find("stream_options")) {
    Fields inner(*options, "stream_options");
    r.stream_usage = inner.boolean("include_usage", false);
    // vLLM's.
    r.stream_usage_so_far = inner.boolean("continuous_usage_stats", false) && r.stream_usage;
    f.adopt(inner);
    if (!r.stream && r.stream_usage) f.wrong("stream_options", "needs \"stream\": true");
  }
  read_sampling(f, r.options.sampling, vocabulary);
  read_stops(f, r.options, vocabulary);
  read_loop(f, served, r);
  read_grammar(f, served, r);
  r.priority = f.integer("priority", 0, -1'000'000, 1'000'000);
  if (f.has("timeout")) r.timeout_seconds = f.number("timeout", 0, 0, 1e6);
}

}  // namespace looplm
