#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <sys/resource.h>

#include "base/file.h"
#include "hub/hub_cache.h"
#include "hub/hub_pull.h"
#include "hub/model_files.h"
#include "support/hub_stand_in.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using Fault = HubStandIn::Fault;

TEST(HubReference, PartsOfNames) {
  const HubReference r = hub_reference("ByteDance/Ouro-1.4B@v1.0/x:sub/Q4_K_M.gguf").value();
  EXPECT_EQ(r.name, "ByteDance/Ouro-1.4B");
  EXPECT_EQ(r.revision, "v1.0/x");
  EXPECT_EQ(r.file, "sub/Q4_K_M.gguf");
  EXPECT_EQ(r.text(), "ByteDance/Ouro-1.4B@v1.0/x:sub/Q4_K_M.gguf");
  EXPECT_EQ(hub_reference("a/b").value().revision, "main");
  for (const char* text :
       {"", "a", "a/", "/b", "a/b/c", "./b", "../b", "a/..", "a/b:", "a/b:../c", "a/b:/c", "a/b@",
        "a/b@../c", "a--b/c", "~/b", "a b/c", "a/b@x//y", "a/b.", "-a/b"}) {
    EXPECT_FALSE(hub_reference(text).has_value()) << text;
  }
}

// Sets variables of the environment and takes them back.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& values) {
    for (const char* name :
         {"HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN",
          "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE",
          "TRANSFORMERS_OFFLINE"}) {
      if (const char* old = std::getenv(name)) old_[name] = old;
      unsetenv(name);
      const auto found = values.find(name);
      if (found != values.end()) setenv(name, found->second.c_str(), 1);
      names_.emplace_back(name);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    for (const std::string& name : names_) {
      unsetenv(name.c_str());
      if (old_.contains(name)) setenv(name.c_str(), old_[name].c_str(), 1);
    }
  }

 private:
  std::map<std::string, std::string> old_;
  std::vector<std::string> names_;
};

TEST(HubSettings, FollowTheEnvironmentAsPythonDoes) {
  const TempDir home;
  {
    const Environment set({{"HOME", home.path()}});
    const HubSettings s = HubSettings::from_environment();
    EXPECT_EQ(s.endpoint, "https://huggingface.co");
    EXPECT_EQ(s.cache, home.path() + "/.cache/huggingface/hub");
    EXPECT_EQ(s.token, "");
    EXPECT_FALSE(s.offline);
  }
  ASSERT_TRUE(write_text_file(home.file("token"), " hf_file\n").ok());
  {
    const Environment set({{"HOME", home.path()}, {"HF_HOME", "~"}, {"HF_HUB_OFFLINE", "yes"}});
    const HubSettings s = HubSettings::from_environment();
    EXPECT_EQ(s.cache, home.path() + "/hub");
    EXPECT_EQ(s.token, "hf_file");
    EXPECT_TRUE(s.offline);
  }
  const Environment set({{"HF_HOME", home.path()},
                         {"HF_HUB_CACHE", "/models"},
                         {"HF_TOKEN", "hf_variable"},
                         {"HF_ENDPOINT", "http://mirror:8080/"}});
  const HubSettings s = HubSettings::from_environment();
  EXPECT_EQ(s.cache, "/models");
  EXPECT_EQ(s.token, "hf_variable");
  EXPECT_EQ(s.endpoint, "http://mirror:8080");
}

Result<ModelFiles> choose(const std::set<std::string>& paths, const std::string& wanted = "",
                          const std::string& index = "") {
  return choose_model_files(
      paths, wanted, [&]() -> Result<std::string> { return index; }, "a/b");
}

TEST(ModelFiles, OnlyWhatLooplmReads) {
  EXPECT_THAT(choose({"README.md", "config.json", "model.safetensors", "modeling_ouro.py",
                      "pytorch_model.bin", "tokenizer.json", "consolidated.safetensors",
                      "additional_chat_templates/rag.jinja"})
                  .value()
                  .needed,
              ElementsAre("config.json", "tokenizer.json", "additional_chat_templates/rag.jinja",
                          "model.safetensors"));
  const std::string index = R"({"weight_map": {"a": "y.safetensors", "b": "x.safetensors"}})";
  EXPECT_THAT(
      choose({"config.json", "model.safetensors.index.json", "x.safetensors", "y.safetensors",
              "z.safetensors"},
             "", index)
          .value()
          .needed,
      ElementsAre("config.json", "model.safetensors.index.json", "x.safetensors", "y.safetensors"));
  EXPECT_THAT(choose({"config.json", "model.safetensors.index.json", "x.safetensors"}, "", index)
                  .status()
                  .message(),
              HasSubstr("a/b has no 'y.safetensors'"));
  EXPECT_THAT(choose({"config.json", "pytorch_model.bin"}).status().message(),
              HasSubstr("no weights that looplm reads (model.safetensors or a GGUF file); it has "
                        "pytorch_model.bin"));
  EXPECT_THAT(choose({"model.safetensors"}).status().message(), HasSubstr("no 'config.json'"));
  EXPECT_THAT(choose({"adapter_config.json", "adapter_model.safetensors", "x.bin"}).value().needed,
              ElementsAre("adapter_config.json", "adapter_model.safetensors"));
  EXPECT_FALSE(choose({"config.json", "model.safetensors.index.json"}, "", "{}").ok());
}

TEST(ModelFiles, OneGgufFileOrTheOneThatIsNamed) {
  const std::set<std::string> paths = {"m-Q4_K_M.gguf",
                                       "m-Q4_K_M.gate.safetensors",
                                       "m-Q4_K_M.guess.safetensors",
                                       "m-Q8_0.gguf",
                                       "tokenizer.json",
                                       "f16/m-00001-of-00002.gguf",
                                       "f16/m-00002-of-00002.gguf",
                                       "f16/m.gate.safetensors",
                                       "f16/m.guess.safetensors"};
  const ModelFiles q4 = choose(paths, "q4_k_m").value();
  EXPECT_EQ(q4.gguf, "m-Q4_K_M.gguf");
  EXPECT_THAT(q4.needed, ElementsAre("m-Q4_K_M.gate.safetensors", "m-Q4_K_M.guess.safetensors",
                                     "tokenizer.json", "m-Q4_K_M.gguf"));
  const ModelFiles parts = choose(paths, "f16").value();
  EXPECT_EQ(parts.gguf, "f16/m-00001-of-00002.gguf");
  EXPECT_THAT(parts.needed, ElementsAre("f16/m.gate.safetensors", "f16/m.guess.safetensors",
                                        "f16/m-00001-of-00002.gguf", "f16/m-00002-of-00002.gguf"));
  EXPECT_EQ(choose(paths, "f16/m-00002-of-00002.gguf").value().gguf, parts.gguf);
  EXPECT_THAT(choose(paths).status().message(), HasSubstr("a/b has 3 GGUF files"));
  EXPECT_THAT(choose(paths, "Q4_0").status().message(),
              HasSubstr("'Q4_0' matches none of the GGUF files of a/b; expected one of: "));
  EXPECT_THAT(choose(paths, "Q").status().message(), HasSubstr("matches 2 GGUF files"));
  EXPECT_THAT(choose({"x-00001-of-00002.gguf"}).status().message(),
              HasSubstr("no 'x-00002-of-00002.gguf'"));
  EXPECT_EQ(choose({"only.gguf"}).value().gguf, "only.gguf");
  // Safetensors beside GGUF files are the model, unless a file is named.
  EXPECT_EQ(choose({"config.json", "model.safetensors", "a.gguf", "b.gguf"}).value().gguf, "");
}

std::string pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 31) ^ (i >> 8));
  return bytes;
}

// A hub with one model, and a cache.
class Pull : public testing::Test {
 protected:
  Pull() {
    hub_.add("org/model", "config.json", R"({"a": 1})", false);
    hub_.add("org/model", "README.md", "words", false);
    hub_.add("org/model", "model.safetensors", weights_, true);
    settings_.endpoint = hub_.url();
    settings_.cache = dir_.file("hub");
    options_.first_wait = milliseconds(1);
  }

  Result<std::string> pull_model(const std::string& text = "org/model") {
    LOOPLM_ASSIGN_OR_RETURN(const PullPlan plan,
                            plan_pull(settings_, hub_reference(text).value(), nullptr));
    return pull(settings_, plan, options_);
  }
  std::string partial() const {
    return HubCache(settings_.cache)
               .blob_path("org/model", (HubStandIn::File{weights_, true}.etag())) +
           ".incomplete";
  }
  // Requests for the weights' bytes.
  std::vector<std::string> weights_requests() const {
    std::vector<std::string> found;
    for (const std::string& request : hub_.requests()) {
      if (request.starts_with("GET /org/model/model.safetensors")) found.push_back(request);
    }
    return found;
  }

  const std::string weights_ = pattern(300'000);
  const TempDir dir_;
  HubStandIn hub_;
  HubSettings settings_;
  PullOptions options_;
};

TEST_F(Pull, PutsWhatIsNeededWherePythonLooksForIt) {
  const std::string place = pull_model().value();
  EXPECT_EQ(place, settings_.cache + "/models--org--model/snapshots/" + HubStandIn::commit());
  EXPECT_EQ(read_text_file(place + "/model.safetensors").value(), weights_);
  EXPECT_EQ(read_text_file(place + "/config.json").value(), R"({"a": 1})");
  EXPECT_FALSE(file_exists(place + "/README.md"));
  EXPECT_EQ(fs::read_symlink(place + "/model.safetensors").string(),
            "../../blobs/" + (HubStandIn::File{weights_, true}.etag()));
  EXPECT_EQ(read_text_file(settings_.cache + "/models--org--model/refs/main").value(),
            HubStandIn::commit());
  const HubCache cache(settings_.cache);
  EXPECT_EQ(cache.find({"org/model"}).value(), place);
  EXPECT_EQ(HubCache::name_of(place), "org/model");
  EXPECT_EQ(cache.find({"org/model", HubStandIn::commit()}).value(), place);
  EXPECT_EQ(cache.find({"org/other"}).status().code(), StatusCode::kNotFound);

  // Again: nothing is fetched.
  const size_t before = weights_requests().size();
  const PullPlan plan = plan_pull(settings_, {"org/model"}, nullptr).value();
  EXPECT_EQ(plan.bytes, weights_.size() + 8);
  EXPECT_EQ(plan.missing, 0u);
  EXPECT_EQ(pull(settings_, plan, options_).value(), place);
  EXPECT_EQ(weights_requests().size(), before);
}

TEST_F(Pull, GoesOnWhereItWasCut) {
  hub_.fail_next({{Fault::kNone},
                  {Fault::kCut, 100'000},
                  {Fault::kStatus, 0, 503},
                  {Fault::kCut, 50'000},
                  {Fault::kNone}});
  const std::string place = pull_model().value();
  EXPECT_EQ(read_text_file(place + "/model.safetensors").value(), weights_);
  EXPECT_THAT(weights_requests(), ElementsAre("GET /org/model/model.safetensors",
                                              "GET /org/model/model.safetensors bytes=100000-",
                                              "GET /org/model/model.safetensors bytes=100000-",
                                              "GET /org/model/model.safetensors bytes=150000-"));
  EXPECT_EQ(hub_.bytes_sent(), weights_.size() + 8);
}

TEST_F(Pull, ALaterRunGoesOnToo) {
  options_.attempts = 1;
  hub_.fail_next({{Fault::kNone}, {Fault::kCut, 100'000}, {Fault::kStatus, 0, 500}});
  const Status cut = pull_model().status();
  EXPECT_EQ(cut.code(), StatusCode::kIo);
  EXPECT_THAT(cut.message(), HasSubstr("org/model: model.safetensors"));
  EXPECT_EQ(fs::file_size(partial()), 100'000u);
  EXPECT_EQ(HubCache(settings_.cache).find({"org/model"}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(plan_pull(settings_, {"org/model"}, nullptr).value().missing, 200'000u);
  ASSERT_TRUE(pull_model().ok());
  EXPECT_THAT(weights_requests().back(), HasSubstr("bytes=100000-"));
  EXPECT_FALSE(file_exists(partial()));
}

TEST_F(Pull, AServerWithoutRangesSendsAllAgain) {
  hub_.fail_next({{Fault::kNone}, {Fault::kCut, 100'000}, {Fault::kNoRange}});
  EXPECT_EQ(read_text_file(pull_model().value() + "/model.safetensors").value(), weights_);
}

TEST_F(Pull, AnotherRangeThanAskedForIsRefused) {
  hub_.fail_next({{Fault::kNone}, {Fault::kCut, 100'000}, {Fault::kWrongRange}});
  EXPECT_THAT(pull_model().status().message(), HasSubstr("asked for the bytes from 100000"));
}

TEST_F(Pull, AWrongChecksumLeavesNothing) {
  hub_.fail_next({{Fault::kNone}, {Fault::kWrongBytes}});
  const Status wrong = pull_model().status();
  EXPECT_THAT(wrong.message(), HasSubstr("'model.safetensors' came with checksum "));
  EXPECT_FALSE(file_exists(partial()));
  EXPECT_EQ(HubCache(settings_.cache).find({"org/model"}).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(pull_model().ok());

  hub_.add("org/small", "config.json", "{}", false);
  hub_.add("org/small", "model.safetensors", "x", false);
  hub_.fail_next({{Fault::kWrongBytes}});
  EXPECT_THAT(pull_model("org/small").status().message(), HasSubstr("'config.json' came with"));
}

TEST_F(Pull, WhatAnEarlierRunLeftIsNotTrusted) {
  ASSERT_TRUE(make_directories(fs::path(partial()).parent_path().string()).ok());
  ASSERT_TRUE(write_text_file(partial(), std::string(100'000, 'x')).ok());
  EXPECT_EQ(read_text_file(pull_model().value() + "/model.safetensors").value(), weights_);
  EXPECT_EQ(weights_requests().size(), 2u);
}

TEST_F(Pull, MoreBytesThanNamedAreAnError) {
  hub_.fail_next({{Fault::kNone}, {Fault::kTooLong}});
  EXPECT_THAT(pull_model().status().message(), HasSubstr("more than"));
}

TEST_F(Pull, ErrorsSayWhatToDo) {
  const auto message = [&](const std::string& text) { return pull_model(text).status().message(); };
  EXPECT_THAT(message("org/nothing"), HasSubstr("org/nothing: no such model at " + hub_.url()));
  EXPECT_THAT(message("org/model@v2"), HasSubstr("the model has no revision 'v2'"));
  EXPECT_THAT(message("org/model:q4"), HasSubstr("'q4' is not a GGUF file"));
  hub_.require_token("hf_right");
  EXPECT_THAT(message("org/model"),
              HasSubstr("accept their terms at " + hub_.url() + "/org/model, and set HF_TOKEN"));
  EXPECT_THAT(message("org/nothing"), HasSubstr("set HF_TOKEN"));
  settings_.token = "hf_wrong";
  EXPECT_THAT(message("org/nothing"), HasSubstr("the token in use may not read it"));
  settings_.token = "hf_right";
  EXPECT_TRUE(pull_model().ok());  // and the other host did not get it
  settings_.offline = true;
  EXPECT_THAT(message("org/model"), HasSubstr("HF_HUB_OFFLINE"));
  settings_.offline = false;
  settings_.cache = "";
  EXPECT_THAT(message("org/model"), HasSubstr("HF_HOME"));
  settings_.endpoint = "http://127.0.0.1:1";
  settings_.cache = dir_.path();
  EXPECT_THAT(message("org/model"), HasSubstr("connecting to 127.0.0.1:1"));
}

TEST_F(Pull, AListingThatLeadsElsewhereIsRefused) {
  const auto message = [&](const std::string& sha, const std::string& file) {
    hub_.list_as("org/model", fmt::format(R"({{"sha": "{}", "siblings": [{}]}})", sha, file));
    return pull_model().status().message();
  };
  const std::string commit = HubStandIn::commit();
  const std::string id(40, 'a');
  for (const char* path : {"../x", "/x", "a//b", "a/./b", "a/", "", "a\\\\b"}) {
    EXPECT_THAT(message(commit, fmt::format(R"({{"rfilename": "{}", "size": 1, "blobId": "{}"}})",
                                            path, id)),
                HasSubstr("expected a path inside the model"));
  }
  EXPECT_THAT(message("../../x", ""), HasSubstr("expected 40 digits"));
  EXPECT_THAT(message(commit, R"({"rfilename": "a", "size": 1, "blobId": "../../x"})"),
              HasSubstr("expected a size and 40 digits"));
  EXPECT_THAT(message(commit, R"({"rfilename": "a", "blobId": ")" + id + "\"}"),
              HasSubstr("has size -1"));
  hub_.list_as("org/model", "<html>");
  EXPECT_THAT(pull_model().status().message(), HasSubstr("asked for org/model"));
}

TEST_F(Pull, AFullDiskKeepsWhatCame) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit little{200'000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &little), 0);
  const Status full = pull_model().status();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted) << full.message();
  EXPECT_EQ(fs::file_size(partial()), 200'000u);
  ASSERT_TRUE(pull_model().ok());
}

TEST_F(Pull, ADiskThatIsTooSmallIsKnownBefore) {
  PullPlan plan = plan_pull(settings_, {"org/model"}, nullptr).value();
  plan.missing = uint64_t{1} << 60;
  const size_t before = hub_.requests().size();
  const Status full = pull(settings_, plan, options_).status();
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(full.message(), HasSubstr("1073741824.00 GiB more are needed"));
  EXPECT_EQ(hub_.requests().size(), before);
}

TEST_F(Pull, TwoAtOnceFetchOnce) {
  std::atomic<bool> waits = false, ended = false;
  hub_.fail_next({{Fault::kNone}, {Fault::kHold, 100'000}});
  Result<std::string> first = Status();
  std::thread one([&] { first = pull_model(); });
  while (weights_requests().empty()) std::this_thread::yield();
  Result<std::string> second = Status();
  std::thread two([&] {
    PullOptions options = options_;
    options.on_progress = [&](const PullProgress& p) {
      if (p.waiting) waits = true;
    };
    second = pull(settings_, plan_pull(settings_, {"org/model"}, nullptr).value(), options);
    ended = true;
  });
  while (!waits && !ended) std::this_thread::yield();
  EXPECT_TRUE(waits);
  EXPECT_THAT(HubCache(settings_.cache).remove({"org/model"}).status().message(),
              HasSubstr("is being fetched by another process"));
  hub_.let_go();
  one.join();
  two.join();
  EXPECT_TRUE(first.ok()) << first.status().message();
  EXPECT_TRUE(second.ok()) << second.status().message();
  EXPECT_EQ(hub_.bytes_sent(), weights_.size() + 8);
}

TEST_F(Pull, StopsWhenAsked) {
  std::atomic<bool> stop = false;
  hub_.fail_next({{Fault::kNone}, {Fault::kHold, 1000}});
  options_.stop = &stop;
  options_.on_progress = [&](const PullProgress& p) {
    if (p.file.path == "model.safetensors") stop = true;
  };
  EXPECT_EQ(pull_model().status().code(), StatusCode::kCancelled);
  EXPECT_GT(fs::file_size(partial()), 0u);
}

TEST_F(Pull, ListsAndRemoves) {
  hub_.add("org/quants", "m-Q4.gguf", "four", true);
  hub_.add("org/quants", "m-Q8.gguf", "eight", true);
  hub_.add("org/quants", "m-Q8.gate.safetensors", "gate", true);
  hub_.add("org/quants", "tokenizer.json", "{}", false);
  ASSERT_TRUE(pull_model().ok());
  EXPECT_THAT(pull_model("org/quants").status().message(), HasSubstr("2 GGUF files"));
  EXPECT_THAT(pull_model("org/quants:q4").value(), testing::EndsWith("/m-Q4.gguf"));
  const HubCache cache(settings_.cache);
  EXPECT_THAT(cache.find({"org/quants"}).value(), testing::EndsWith("/m-Q4.gguf"));
  ASSERT_TRUE(pull_model("org/quants:q8").ok());
  ASSERT_TRUE(make_directories(settings_.cache + "/datasets--org--data/blobs").ok());
  ASSERT_TRUE(make_directories(settings_.cache + "/models--org--begun/blobs").ok());
  const auto listed = [&] {
    std::vector<std::string> lines;
    for (const CachedModel& model : cache.list()) {
      lines.push_back(
          fmt::format("{} {} {}", model.name, model.bytes, static_cast<int>(model.state)));
    }
    return lines;
  };
  EXPECT_THAT(listed(),
              ElementsAre("org/begun 0 1", fmt::format("org/model {} 0", weights_.size() + 8 + 40),
                          "org/quants:m-Q4.gguf 4 0", "org/quants:m-Q8.gguf 9 0"));
  EXPECT_EQ(cache.remove({"org/quants", "main", "q8"}).value(), 9u);
  EXPECT_TRUE(cache.find({"org/quants", "main", "q4"}).ok());
  EXPECT_EQ(cache.remove({"org/model"}).value(), weights_.size() + 8);
  EXPECT_THAT(listed(), ElementsAre("org/begun 0 1", "org/quants:m-Q4.gguf 4 0"));
  EXPECT_THAT(cache.remove({"org/model"}).status().message(), HasSubstr("is not in"));
}

}  // namespace
}  // namespace looplm
