#include "serve/openapi.h"

#include <string>

namespace looplm {
namespace {

OrderedJson reference(const std::string& name) {
  return {{"$ref", "#/components/schemas/" + name}};
}

OrderedJson json_content(const OrderedJson& schema) {
  return {{"application/json", {{"schema", schema}}}};
}

OrderedJson error_response(const char* description) {
  return {{"description", description}, {"content", json_content(reference("Error"))}};
}

OrderedJson responses(const char* schema, bool streams) {
  OrderedJson content = json_content(reference(schema));
  if (streams) content["text/event-stream"] = {{"schema", {{"type", "string"}}}};
  return {{"200", {{"description", "The answer."}, {"content", content}}},
          {"400", error_response("The request is wrong; 'param' names the field.")},
          {"401", error_response("An API key is needed.")},
          {"408", error_response("The request's time was up.")},
          {"413", error_response("The body is too large.")},
          {"429", error_response("The queue is full; try again after Retry-After seconds.")},
          {"503", error_response("The model is loading, or the server ends.")}};
}

OrderedJson post(const char* summary, const char* request, const char* response,
                 bool streams = false) {
  return {{"post",
           {{"summary", summary},
            {"requestBody", {{"required", true}, {"content", json_content(reference(request))}}},
            {"responses", responses(response, streams)}}}};
}

OrderedJson get(const char* summary, const OrderedJson& content) {
  return {{"get",
           {{"summary", summary},
            {"responses",
             {{"200", {{"description", "The answer."}, {"content", content}}},
              {"401", error_response("An API key is needed.")},
              {"503", error_response("The model is loading.")}}}}}};
}

OrderedJson number(double least, double most) {
  return {{"type", {"number", "null"}}, {"minimum", least}, {"maximum", most}};
}
OrderedJson whole(int64_t least, int64_t most) {
  return {{"type", {"integer", "null"}}, {"minimum", least}, {"maximum", most}};
}
OrderedJson flag() { return {{"type", {"boolean", "null"}}}; }
OrderedJson text() { return {{"type", "string"}}; }
OrderedJson list_of(const OrderedJson& item) { return {{"type", "array"}, {"items", item}}; }
OrderedJson filled_list_of(const OrderedJson& item) {
  OrderedJson list = list_of(item);
  list["minItems"] = 1;
  return list;
}
OrderedJson filled_text() { return {{"type", "string"}, {"minLength", 1}}; }
OrderedJson token_id() { return {{"type", "integer"}, {"minimum", 0}}; }
OrderedJson message() {
  const OrderedJson part = {{"type", "object"},
                            {"required", {"type", "text"}},
                            {"properties", {{"type", {{"const", "text"}}}, {"text", text()}}}};
  return {{"type", "object"},
          {"required", {"role", "content"}},
          {"properties",
           {{"role", {{"enum", {"system", "developer", "user", "assistant", "tool"}}}},
            {"content", {{"anyOf", {text(), list_of(part)}}}}}}};
}

OrderedJson generation_fields() {
  return {
      {"model", {{"type", {"string", "null"}}}},
      {"n", whole(1, 128)},
      {"stream", flag()},
      {"stream_options",
       {{"type", {"object", "null"}}, {"properties", {{"include_usage", flag()}}}}},
      {"temperature", number(0, 2)},
      {"top_p", number(0, 1)},
      {"min_p", number(0, 1)},
      {"presence_penalty", number(-2, 2)},
      {"frequency_penalty", number(-2, 2)},
      {"seed", {{"type", {"integer", "null"}}}},
      {"stop", {{"anyOf", {filled_text(), list_of(filled_text()), {{"type", "null"}}}}}},
      {"logit_bias", {{"type", {"object", "null"}}, {"additionalProperties", number(-100, 100)}}},
      {"response_format", {{"type", {"object", "null"}}, {"required", {"type"}}}},
      {"grammar", {{"type", {"string", "null"}}}},
      {"loop", reference("Loop")},
  };
}

OrderedJson object_of(OrderedJson properties, const std::vector<std::string>& required) {
  OrderedJson schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}

OrderedJson schemas() {
  OrderedJson all;
  all["Error"] = object_of({{"error", object_of({{"message", text()},
                                                 {"type", text()},
                                                 {"param", {{"type", {"string", "null"}}}},
                                                 {"code", {{"type", {"string", "null"}}}}},
                                                {"message", "type", "param", "code"})}},
                           {"error"});
  all["Loop"] = {
      {"type", {"object", "null"}},
      {"description", "How deep to think about each token, and what to tell of it."},
      {"properties",
       {{"max_loops", whole(1, 256)},
        {"min_loops", whole(1, 256)},
        {"exit", {{"enum", {"fixed", "q", "difference", "relative", "margin", "entropy"}}}},
        {"threshold", number(0, 1e9)},
        {"target_depth", number(1, 256)},
        {"class", text()},
        {"kv", {{"enum", {"full", "last", "mean", "first", "last-exited"}}}},
        {"speculate", {{"type", {"boolean", "string", "object", "null"}}}},
        {"per_token", flag()},
        {"provisional", flag()}}}};
  all["Usage"] = object_of({{"prompt_tokens", whole(0, INT64_MAX)},
                            {"completion_tokens", whole(0, INT64_MAX)},
                            {"total_tokens", whole(0, INT64_MAX)},
                            {"loop", object_of({{"passes", whole(0, INT64_MAX)},
                                                {"loops", whole(0, INT64_MAX)},
                                                {"mean_depth", number(0, 256)},
                                                {"exits", {{"type", "object"}}}},
                                               {"passes", "loops", "mean_depth", "exits"})}},
                           {"prompt_tokens", "total_tokens"});
  OrderedJson completion = generation_fields();
  const OrderedJson prompt = {
      {"anyOf",
       {filled_text(), filled_list_of(filled_text()), filled_list_of(token_id()),
        filled_list_of(filled_list_of(token_id()))}}};
  completion["prompt"] = prompt;
  completion["max_tokens"] = whole(0, 1 << 24);
  completion["echo"] = flag();
  completion["logprobs"] = whole(0, 20);
  all["CompletionRequest"] = object_of(std::move(completion), {"prompt"});
  const OrderedJson answer = object_of({{"id", text()},
                                        {"object", text()},
                                        {"created", whole(0, INT64_MAX)},
                                        {"model", text()},
                                        {"choices", list_of({{"type", "object"}})},
                                        {"usage", reference("Usage")}},
                                       {"id", "object", "choices", "usage"});
  all["Completion"] = answer;
  OrderedJson chat = generation_fields();
  chat["messages"] = filled_list_of(message());
  chat["max_tokens"] = whole(0, 1 << 24);
  chat["max_completion_tokens"] = whole(0, 1 << 24);
  chat["logprobs"] = flag();
  chat["top_logprobs"] = whole(0, 20);
  chat["tools"] = {{"type", {"array", "null"}}, {"items", {{"type", "object"}}}};
  all["ChatRequest"] = object_of(std::move(chat), {"messages"});
  all["ChatCompletion"] = answer;
  all["EmbeddingRequest"] = object_of({{"input", prompt},
                                       {"model", {{"type", {"string", "null"}}}},
                                       {"encoding_format", {{"enum", {"float", "base64"}}}},
                                       {"pooling", {{"enum", {"mean", "last"}}}},
                                       {"loop", reference("Loop")}},
                                      {"input"});
  all["Embeddings"] =
      object_of({{"object", text()}, {"data", list_of({{"type", "object"}})}}, {"object", "data"});
  all["TokenizeRequest"] = object_of({{"content", text()}}, {"content"});
  all["Tokens"] = object_of({{"tokens", {{"type", "array"}}}}, {"tokens"});
  all["DetokenizeRequest"] = object_of({{"tokens", list_of(token_id())}}, {"tokens"});
  all["Text"] = object_of({{"content", text()}}, {"content"});
  all["TemplateRequest"] = object_of({{"messages", filled_list_of(message())}}, {"messages"});
  all["Prompt"] = object_of({{"prompt", text()}}, {"prompt"});
  return all;
}

}  // namespace

OrderedJson openapi_json() {
  const OrderedJson object = json_content({{"type", "object"}});
  OrderedJson paths;
  paths["/v1/completions"] = post("Continue a text", "CompletionRequest", "Completion", true);
  paths["/v1/chat/completions"] =
      post("Answer a conversation", "ChatRequest", "ChatCompletion", true);
  paths["/v1/embeddings"] =
      post("Vectors of texts, from the states of a chosen loop", "EmbeddingRequest", "Embeddings");
  paths["/v1/models"] = get("The models", object);
  paths["/tokenize"] = post("Text to token ids", "TokenizeRequest", "Tokens");
  paths["/detokenize"] = post("Token ids to text", "DetokenizeRequest", "Text");
  paths["/apply-template"] =
      post("A conversation as the model reads it", "TemplateRequest", "Prompt");
  paths["/props"] = get("What is served, and how", object);
  paths["/health"] = get("200 once requests are taken", object);
  paths["/metrics"] = get("Prometheus metrics", {{"text/plain", {{"schema", text()}}}});
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "looplm"}, {"version", "1"}}},
          {"paths", std::move(paths)},
          {"components",
           {{"schemas", schemas()},
            {"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
          {"security",
           OrderedJson::array({OrderedJson::object(), {{"bearer", OrderedJson::array()}}})}};
}

}  // namespace looplm
