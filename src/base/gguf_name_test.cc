#include "base/gguf_name.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temp_dir.h"

namespace looplm {
namespace {

using ::testing::ElementsAre;

TEST(GgufName, PartsAreOneModel) {
  EXPECT_EQ(gguf_model_stem("a/m.gguf"), "a/m");
  EXPECT_EQ(gguf_model_stem("a/m-00001-of-00003.gguf"), "a/m");
  EXPECT_EQ(gguf_model_stem("a/m-00003-of-00003.gguf"), "a/m");
  EXPECT_EQ(gguf_model_stem("m"), "m");
  EXPECT_THAT(gguf_parts("a/m-00002-of-00002.gguf"),
              ElementsAre("a/m-00001-of-00002.gguf", "a/m-00002-of-00002.gguf"));
  EXPECT_EQ(gguf_part_path("a/m", 2, 12), "a/m-00002-of-00012.gguf");
}

TEST(GgufName, WhatIsNoPartIsAModel) {
  for (const char* stem : {"a/m-1-of-3", "-00001-of-00003", "m-00004-of-00003", "m-00000-of-00000",
                           "m-0000x-of-00003", "m_00001-of-00003"}) {
    EXPECT_EQ(gguf_model_stem(std::string(stem) + ".gguf"), stem);
    EXPECT_THAT(gguf_parts(std::string(stem) + ".gguf"), ElementsAre(std::string(stem) + ".gguf"));
  }
}

TEST(GgufName, AFolderIsNoFile) {
  const TempDir directory;
  const std::string folder = directory.file("m.gguf"), file = directory.file("weights");
  std::filesystem::create_directory(folder);
  std::ofstream(file) << "GGUF";
  EXPECT_FALSE(is_gguf_model(folder));
  EXPECT_FALSE(is_gguf_model(directory.path()));
  EXPECT_TRUE(is_gguf_model(file));
  EXPECT_TRUE(is_gguf_model(directory.file("none.gguf"))) << "so that an error names that file";
  EXPECT_FALSE(is_gguf_model(directory.file("none")));
}

TEST(GgufName, FilesBesideAModel) {
  EXPECT_EQ(gguf_gate_file("a/m.gguf"), "a/m.gate.safetensors");
  EXPECT_EQ(gguf_guess_file("a/m.gguf"), "a/m.guess.safetensors");
  EXPECT_EQ(gguf_gate_file("a/m-00001-of-00003.gguf"), "a/m.gate.safetensors");
  EXPECT_EQ(gguf_guess_file("a/m-00001-of-00003.gguf"), "a/m.guess.safetensors");
  EXPECT_EQ(gguf_depth_file("a/m-00001-of-00003.gguf"), "a/m.depth.json");
}

}  // namespace
}  // namespace looplm
