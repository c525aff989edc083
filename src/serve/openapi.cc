#include "serve/openapi.h"

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace looplm {
namespace {

OrderedJson reference(const std::string& name) {
  return {{"$ref", "#/components/schemas/" + name}};
}

OrderedJson json_content(const OrderedJson& schema) {
  return {{"application/json", {{"schema", schema}}}};
}

// --- operations

// How a dialect says errors and streams.
struct Form {
  const char* error = "Error";
  const char* stream = "text/event-stream";
};
constexpr Form kOpenAiForm;
constexpr Form kAnthropicForm = {.error = "AnthropicError"};
constexpr Form kOllamaForm = {.error = "OllamaError", .stream = "application/x-ndjson"};

OrderedJson error_response(const char* description, const Form& form = kOpenAiForm) {
  return {{"description", description}, {"content", json_content(reference(form.error))}};
}

OrderedJson responses(const char* schema, bool streams, const Form& form) {
  OrderedJson content = json_content(reference(schema));
  if (streams) content[form.stream] = OrderedJson::object();  // events, one by one
  return {{"200", {{"description", "The answer."}, {"content", content}}},
          {"400", error_response("The request is wrong; the message names the field.", form)},
          {"401", error_response("An API key is needed.", form)},
          {"404", error_response("There is no such model.", form)},
          {"408", error_response("The request's time was up.", form)},
          {"413", error_response("The body is too large.")},
          {"429", error_response("The queue is full; try again after Retry-After seconds.", form)},
          {"503", error_response("The model is loading, or the server ends.", form)}};
}

enum class Streams { kNever, kOnDemand };

OrderedJson post(const char* summary, const char* request, const char* response,
                 Streams streams = Streams::kNever, const Form& form = kOpenAiForm) {
  return {{"post",
           {{"summary", summary},
            {"requestBody", {{"required", true}, {"content", json_content(reference(request))}}},
            {"responses", responses(response, streams == Streams::kOnDemand, form)}}}};
}

OrderedJson get(const char* summary, const OrderedJson& content, const Form& form = kOpenAiForm) {
  return {{"get",
           {{"summary", summary},
            {"responses",
             {{"200", {{"description", "The answer."}, {"content", content}}},
              {"401", error_response("An API key is needed.", form)},
              {"503", error_response("The model is loading.", form)}}}}}};
}

// --- values. Null counts as absent, so that most fields may be it.

OrderedJson number(double least, double most) {
  return {{"type", {"number", "null"}}, {"minimum", least}, {"maximum", most}};
}
OrderedJson whole(int64_t least, int64_t most) {
  return {{"type", {"integer", "null"}}, {"minimum", least}, {"maximum", most}};
}
OrderedJson seed() {
  return {{"type", {"integer", "null"}}, {"minimum", INT64_MIN}, {"maximum", UINT64_MAX}};
}
OrderedJson priority() {
  OrderedJson value = whole(-1'000'000, 1'000'000);
  value["description"] = "Requests of lower values are served first.";
  return value;
}
OrderedJson token_limit(int64_t least) { return whole(least, 1 << 24); }
OrderedJson flag() { return {{"type", {"boolean", "null"}}}; }
OrderedJson text() { return {{"type", "string"}}; }
OrderedJson text_or_null() { return {{"type", {"string", "null"}}}; }
OrderedJson filled_text() { return {{"type", "string"}, {"minLength", 1}}; }
// An empty text chooses nothing, as null does.
OrderedJson one_of(const std::vector<std::string>& values) {
  OrderedJson all = values;
  all.push_back("");
  all.push_back(nullptr);
  return {{"enum", std::move(all)}};
}
OrderedJson any_of(const std::vector<OrderedJson>& schemas) { return {{"anyOf", schemas}}; }

OrderedJson list_of(const OrderedJson& item) { return {{"type", "array"}, {"items", item}}; }
OrderedJson filled(OrderedJson list) {
  list["minItems"] = 1;
  return list;
}
OrderedJson stops() {
  OrderedJson list = list_of(filled_text());
  list["maxItems"] = 64;
  return list;
}
OrderedJson stop() { return any_of({filled_text(), stops(), {{"type", "null"}}}); }

OrderedJson object_of(OrderedJson properties, const std::vector<std::string>& required = {}) {
  OrderedJson schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}
OrderedJson optional_object_of(OrderedJson properties) {
  return {{"type", {"object", "null"}}, {"properties", std::move(properties)}};
}

// A text, or its parts, which say that they are text by one of these types.
OrderedJson parts(const std::vector<std::string>& types) {
  return list_of(object_of({{"type", {{"enum", types}}}, {"text", text()}}, {"type", "text"}));
}
OrderedJson content(const std::vector<std::string>& types) {
  return any_of({text(), parts(types)});
}
OrderedJson messages(const std::vector<std::string>& roles, const OrderedJson& said) {
  return list_of(object_of({{"role", {{"enum", roles}}}, {"content", said}}, {"role", "content"}));
}

// Both hold.
void require(OrderedJson& schema, OrderedJson condition) {
  schema["allOf"].push_back(std::move(condition));
}
// What only a stream can tell is asked for in a stream alone.
void require_stream(OrderedJson& schema, OrderedJson streamed) {
  const OrderedJson off = {{"enum", {false, nullptr}}};
  const OrderedJson whole = {
      {"properties",
       {{"loop", {{"properties", {{"provisional", off}}}}},
        {"stream_options",
         {{"properties", {{"include_usage", off}, {"continuous_usage_stats", off}}}}}}}};
  require(schema, any_of({whole, std::move(streamed)}));
}
OrderedJson streamed() {
  return {{"properties", {{"stream", {{"const", true}}}}}, {"required", {"stream"}}};
}

// JSON Schema cannot say which calls stand before a message.
constexpr char kToolMessages[] =
    "After a message of the assistant with tool_calls also messages of the role 'tool', each of "
    "which answers one of the calls.";

// --- schemas

class Schemas {
 public:
  Schemas(int64_t vocabulary, bool tuned) : vocabulary_(vocabulary), tuned_(tuned) {}

  OrderedJson all() const {
    OrderedJson all;
    add_shared(all);
    add_openai(all);
    add_text_endpoints(all);
    add_anthropic(all);
    add_ollama(all);
    return all;
  }

 private:
  OrderedJson token_id() const {
    OrderedJson id = {{"type", "integer"}, {"minimum", 0}};
    if (vocabulary_ > 0) id["maximum"] = vocabulary_ - 1;
    return id;
  }
  static OrderedJson top_k() { return whole(-1, INT32_MAX); }
  OrderedJson prompt() const {
    return any_of({filled_text(), filled(list_of(filled_text())), filled(list_of(token_id())),
                   filled(list_of(filled(list_of(token_id()))))});
  }

  void add_shared(OrderedJson& all) const {
    all["Error"] = object_of({{"error", object_of({{"message", text()},
                                                   {"type", text()},
                                                   {"param", text_or_null()},
                                                   {"code", text_or_null()}},
                                                  {"message", "type", "param", "code"})}},
                             {"error"});
    all["Loop"] = optional_object_of(
        {{"max_loops", whole(1, 256)},
         {"min_loops", whole(1, 256)},
         {"exit", one_of({"fixed", "q", "difference", "relative", "margin", "entropy"})},
         {"threshold", number(0, 1e9)},
         {"target_depth", tuned_ ? number(1, 256) : OrderedJson{{"type", "null"}}},
         {"class", tuned_ ? text_or_null() : OrderedJson{{"type", "null"}}},
         {"kv", one_of({"full", "last", "mean", "first", "last-exited"})},
         {"read_out", one_of({"selected", "weighted"})},
         {"speculate", any_of({flag(), {{"type", "string"}, {"format", "speculation"}}})},
         {"per_token", flag()},
         {"provisional", flag()}});
    all["Loop"]["description"] = "How deep to think about each token, and what to tell of it.";
    all["Loop"]["additionalProperties"] = false;
    // Only some rules have a scale beyond 1, and all but `fixed` need a threshold.
    const OrderedJson small = {{"properties", {{"threshold", number(0, 1)}}}};
    const OrderedJson wide = {
        {"properties", {{"exit", {{"enum", {"fixed", "difference", "relative", "entropy"}}}}}},
        {"required", {"exit"}}};
    require(all["Loop"], any_of({small, wide}));
    const OrderedJson none = {{"properties", {{"exit", one_of({"fixed"})}}}};
    const OrderedJson given = {{"properties", {{"threshold", {{"type", "number"}}}}},
                               {"required", {"threshold"}}};
    require(all["Loop"], any_of({none, given}));
    all["JsonSchema"] = {
        {"type", {"object", "boolean"}},
        {"description", "A JSON Schema; what it asks is obeyed or refused by name."}};
    all["Usage"] = object_of({{"prompt_tokens", whole(0, INT64_MAX)},
                              {"completion_tokens", whole(0, INT64_MAX)},
                              {"total_tokens", whole(0, INT64_MAX)},
                              {"loop", object_of({{"passes", whole(0, INT64_MAX)},
                                                  {"loops", whole(0, INT64_MAX)},
                                                  {"mean_depth", number(0, 256)},
                                                  {"exits", {{"type", "object"}}}},
                                                 {"passes", "loops", "mean_depth", "exits"})}},
                             {"prompt_tokens", "total_tokens"});
  }

  OrderedJson generation_fields() const {
    const OrderedJson format = any_of(
        {{{"type", "null"}},
         object_of({{"type", {{"enum", {"text", "json_object"}}}}}, {"type"}),
         object_of(
             {{"type", {{"const", "json_schema"}}},
              {"json_schema",
               object_of({{"name", text()}, {"schema", reference("JsonSchema")}}, {"schema"})}},
             {"type", "json_schema"})});
    return {{"model", text_or_null()},
            {"n", whole(1, 128)},
            {"stream", flag()},
            {"stream_options",
             optional_object_of({{"include_usage", flag()}, {"continuous_usage_stats", flag()}})},
            {"temperature", number(0, 2)},
            {"top_p", number(0, 1)},
            {"top_k", top_k()},
            {"min_p", number(0, 1)},
            {"presence_penalty", number(-2, 2)},
            {"frequency_penalty", number(-2, 2)},
            {"seed", seed()},
            {"stop", stop()},
            {"logit_bias",
             {{"type", {"object", "null"}},
              {"propertyNames", {{"type", "string"}, {"format", "token-id"}}},
              {"additionalProperties", {{"type", "number"}, {"minimum", -100}, {"maximum", 100}}}}},
            {"response_format", format},
            {"grammar",
             {{"type", {"string", "null"}},
              {"format", "gbnf"},
              {"description", "An empty text is none."}}},
            {"priority", priority()},
            {"loop", reference("Loop")}};
  }

  void add_openai(OrderedJson& all) const {
    OrderedJson completion = generation_fields();
    completion["prompt"] = prompt();
    completion["max_tokens"] = token_limit(0);
    completion["echo"] = flag();
    completion["logprobs"] = any_of({whole(0, 20), flag()});
    all["CompletionRequest"] = object_of(std::move(completion), {"prompt"});
    // No token at all is an answer only where the prompt is echoed.
    const OrderedJson some = {{"properties", {{"max_tokens", token_limit(1)}}}};
    const OrderedJson echoed = {{"properties", {{"echo", {{"const", true}}}}},
                                {"required", {"echo"}}};
    require(all["CompletionRequest"], any_of({some, echoed}));
    require_stream(all["CompletionRequest"], streamed());
    const OrderedJson answer = object_of({{"id", text()},
                                          {"object", text()},
                                          {"created", whole(0, INT64_MAX)},
                                          {"model", text()},
                                          {"choices", list_of({{"type", "object"}})},
                                          {"usage", reference("Usage")}},
                                         {"id", "object", "choices", "usage"});
    all["Completion"] = answer;
    OrderedJson said = messages({"system", "developer", "user", "assistant"}, content({"text"}));
    said["description"] = kToolMessages;
    const OrderedJson function = object_of(
        {{"name", filled_text()}, {"parameters", {{"type", {"object", "null"}}}}}, {"name"});
    const OrderedJson tool = object_of({{"type", {{"const", "function"}}}, {"function", function}},
                                       {"type", "function"});
    OrderedJson chat = generation_fields();
    chat["messages"] = filled(said);
    chat["max_tokens"] = token_limit(1);
    chat["max_completion_tokens"] = token_limit(1);
    chat["logprobs"] = flag();
    chat["top_logprobs"] = whole(0, 20);
    chat["tools"] = {{"type", {"array", "null"}}, {"items", tool}};
    all["ChatRequest"] = object_of(std::move(chat), {"messages"});
    // Some likely tokens are listed only where log-probabilities are asked for.
    const OrderedJson none = {{"properties", {{"top_logprobs", whole(0, 0)}}}};
    const OrderedJson asked = {{"properties", {{"logprobs", {{"const", true}}}}},
                               {"required", {"logprobs"}}};
    require(all["ChatRequest"], any_of({none, asked}));
    require_stream(all["ChatRequest"], streamed());
    all["ChatCompletion"] = answer;
    all["ResponsesRequest"] = object_of(
        {{"model", text_or_null()},
         {"input", any_of({text(), filled(messages({"user", "assistant", "system", "developer"},
                                                   content({"input_text"})))})},
         {"instructions", text_or_null()},
         {"max_output_tokens", token_limit(1)},
         {"stream", flag()},
         {"temperature", number(0, 2)},
         {"top_p", number(0, 1)},
         {"seed", seed()},
         {"loop", reference("Loop")}},
        {"input"});
    require_stream(all["ResponsesRequest"], streamed());
    all["Response"] = object_of({{"id", text()},
                                 {"object", text()},
                                 {"status", text()},
                                 {"output", list_of({{"type", "object"}})}},
                                {"id", "object", "status", "output"});
    OrderedJson depth = optional_object_of({{"max_loops", whole(1, 256)}});
    depth["additionalProperties"] = false;
    all["EmbeddingRequest"] = object_of({{"input", prompt()},
                                         {"model", text_or_null()},
                                         {"encoding_format", one_of({"float", "base64"})},
                                         {"pooling", one_of({"mean", "last"})},
                                         {"truncate", flag()},
                                         {"loop", std::move(depth)}},
                                        {"input"});
    all["Embeddings"] = object_of({{"object", text()}, {"data", list_of({{"type", "object"}})}},
                                  {"object", "data"});
  }

  void add_text_endpoints(OrderedJson& all) const {
    all["TokenizeRequest"] = object_of({{"content", text()}}, {"content"});
    all["Tokens"] = object_of({{"tokens", {{"type", "array"}}}}, {"tokens"});
    all["DetokenizeRequest"] = object_of({{"tokens", list_of(token_id())}}, {"tokens"});
    all["Text"] = object_of({{"content", text()}}, {"content"});
    all["TemplateRequest"] =
        object_of({{"messages", all["ChatRequest"]["properties"]["messages"]}}, {"messages"});
    all["Prompt"] = object_of({{"prompt", text()}}, {"prompt"});
  }

  void add_anthropic(OrderedJson& all) const {
    all["AnthropicError"] = object_of(
        {{"type", {{"const", "error"}}},
         {"error", object_of({{"type", text()}, {"message", text()}}, {"type", "message"})}},
        {"type", "error"});
    const OrderedJson said =
        filled(messages({"user", "assistant"}, any_of({text(), filled(parts({"text"}))})));
    const OrderedJson system = any_of({text(), parts({"text"}), {{"type", "null"}}});
    OrderedJson sequences = stops();
    sequences["type"] = {"array", "null"};
    all["MessagesRequest"] =
        object_of({{"model", text_or_null()},
                   {"messages", said},
                   {"system", system},
                   {"max_tokens", {{"type", "integer"}, {"minimum", 1}, {"maximum", 1 << 24}}},
                   {"stop_sequences", std::move(sequences)},
                   {"stream", flag()},
                   {"temperature", number(0, 2)},
                   {"top_p", number(0, 1)},
                   {"top_k", top_k()},
                   {"loop", reference("Loop")}},
                  {"messages", "max_tokens"});
    require_stream(all["MessagesRequest"], streamed());
    all["Message"] = object_of({{"id", text()},
                                {"type", {{"const", "message"}}},
                                {"content", list_of({{"type", "object"}})}},
                               {"id", "type", "content"});
    all["CountTokensRequest"] = object_of(
        {{"model", text_or_null()}, {"messages", said}, {"system", system}}, {"messages"});
    all["TokenCount"] = object_of({{"input_tokens", whole(0, INT64_MAX)}}, {"input_tokens"});
  }

  void add_ollama(OrderedJson& all) const {
    all["OllamaError"] = object_of({{"error", text()}}, {"error"});
    const OrderedJson options = optional_object_of({{"num_predict", whole(-2, 1 << 24)},
                                                    {"temperature", number(0, 2)},
                                                    {"top_p", number(0, 1)},
                                                    {"top_k", top_k()},
                                                    {"min_p", number(0, 1)},
                                                    {"seed", seed()},
                                                    {"stop", stop()}});
    const OrderedJson format = any_of({one_of({"json"}), {{"type", "object"}}});
    const OrderedJson shared = {{"model", text_or_null()},
                                {"stream", flag()},
                                {"format", format},
                                {"options", options},
                                {"loop", reference("Loop")}};
    OrderedJson chat = shared;
    chat["messages"] = messages({"system", "user", "assistant"}, text_or_null());
    chat["messages"]["description"] = kToolMessages;
    chat["messages"]["items"]["required"] = {"role"};
    chat["messages"]["type"] = {"array", "null"};
    all["OllamaChatRequest"] = object_of(std::move(chat));
    OrderedJson generate = shared;
    for (const char* name : {"prompt", "system"}) generate[name] = text_or_null();
    generate["raw"] = flag();
    all["OllamaGenerateRequest"] = object_of(std::move(generate));
    // Ollama streams unless it is told not to.
    const OrderedJson default_streams = {{"properties", {{"stream", {{"enum", {true, nullptr}}}}}}};
    for (const char* name : {"OllamaChatRequest", "OllamaGenerateRequest"}) {
      require_stream(all[name], default_streams);
    }
    all["OllamaShowRequest"] = object_of({{"model", text_or_null()}});
    all["OllamaEmbedRequest"] =
        object_of({{"model", text_or_null()}, {"input", prompt()}}, {"input"});
    all["OllamaEmbeddingsRequest"] =
        object_of({{"model", text_or_null()}, {"prompt", filled_text()}}, {"prompt"});
    const OrderedJson vector = list_of({{"type", "number"}});
    all["OllamaEmbeddings"] = object_of({{"embeddings", list_of(vector)}}, {"embeddings"});
    all["OllamaEmbedding"] = object_of({{"embedding", vector}}, {"embedding"});
    all["OllamaAnswer"] =
        object_of({{"model", text()}, {"done", {{"type", "boolean"}}}}, {"model", "done"});
  }

  const int64_t vocabulary_;
  const bool tuned_;
};

}  // namespace

OrderedJson openapi_json(int64_t vocabulary, bool tuned) {
  const OrderedJson object = json_content({{"type", "object"}});
  OrderedJson schemas = Schemas(vocabulary, tuned).all();
  schemas["Anything"] = {{"type", "object"}};
  OrderedJson paths;
  paths["/v1/completions"] =
      post("Continue a text", "CompletionRequest", "Completion", Streams::kOnDemand);
  paths["/v1/chat/completions"] =
      post("Answer a conversation", "ChatRequest", "ChatCompletion", Streams::kOnDemand);
  paths["/v1/responses"] = post("Answer a conversation, item by item", "ResponsesRequest",
                                "Response", Streams::kOnDemand);
  paths["/v1/embeddings"] =
      post("Vectors of texts, from the states of a chosen loop", "EmbeddingRequest", "Embeddings");
  paths["/v1/models"] = get("The models", object);
  paths["/v1/models/{model}"] = get("One of the models", object);
  OrderedJson& one = paths["/v1/models/{model}"]["get"];
  one["parameters"] = OrderedJson::array(
      {{{"name", "model"}, {"in", "path"}, {"required", true}, {"schema", filled_text()}}});
  one["responses"]["404"] = error_response("There is no such model.");
  paths["/v1/messages"] = post("Answer a conversation, in Anthropic's form", "MessagesRequest",
                               "Message", Streams::kOnDemand, kAnthropicForm);
  paths["/v1/messages/count_tokens"] = post("Tokens of a conversation", "CountTokensRequest",
                                            "TokenCount", Streams::kNever, kAnthropicForm);
  paths["/api/chat"] = post("Answer a conversation, in Ollama's form", "OllamaChatRequest",
                            "OllamaAnswer", Streams::kOnDemand, kOllamaForm);
  paths["/api/generate"] = post("Continue a text, in Ollama's form", "OllamaGenerateRequest",
                                "OllamaAnswer", Streams::kOnDemand, kOllamaForm);
  paths["/api/show"] = post("What a model is, in Ollama's form", "OllamaShowRequest", "Anything",
                            Streams::kNever, kOllamaForm);
  paths["/api/embed"] = post("Vectors of texts, in Ollama's form", "OllamaEmbedRequest",
                             "OllamaEmbeddings", Streams::kNever, kOllamaForm);
  paths["/api/embeddings"] =
      post("The vector of one text, in Ollama's older form", "OllamaEmbeddingsRequest",
           "OllamaEmbedding", Streams::kNever, kOllamaForm);
  paths["/api/tags"] = get("The models, in Ollama's form", object, kOllamaForm);
  paths["/api/ps"] = get("The models in memory, in Ollama's form", object, kOllamaForm);
  paths["/api/version"] = get("The program's version, in Ollama's form", object, kOllamaForm);
  paths["/tokenize"] = post("Text to token ids", "TokenizeRequest", "Tokens");
  paths["/detokenize"] = post("Token ids to text", "DetokenizeRequest", "Text");
  paths["/apply-template"] =
      post("A conversation as the model reads it", "TemplateRequest", "Prompt");
  paths["/props"] = get("What is served, and how", object);
  paths["/tokenizer_info"] = get("The tokenizer's special tokens", object);
  paths["/openapi.json"] = get("This description", object);
  for (const char* path : {"/health", "/v1/health"}) {
    paths[path] = get("200 once requests are taken", object);
  }
  paths["/metrics"] = get("Prometheus metrics", {{"text/plain", {{"schema", text()}}}});
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "looplm"}, {"version", "1"}}},
          {"paths", std::move(paths)},
          {"components",
           {{"schemas", std::move(schemas)},
            {"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
          {"security",
           OrderedJson::array({OrderedJson::object(), {{"bearer", OrderedJson::array()}}})}};
}

}  // namespace looplm
