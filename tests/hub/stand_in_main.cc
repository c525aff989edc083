// A stand-in for the hub as a program: serves folders as models until its standard input ends.
//
//   hub_stand_in ORG/NAME=FOLDER ... [--token TOKEN]
//
// Prints its address. Files of 10,000 bytes or more count as large. The line "cut N" on standard
// input cuts the next answer with a file after N bytes.
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "base/file.h"
#include "support/hub_stand_in.h"

int main(int argc, char** argv) {
  using looplm::HubStandIn;
  HubStandIn hub;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--token" && i + 1 < argc) {
      hub.require_token(argv[++i]);
      continue;
    }
    const size_t equals = argument.find('=');
    const std::filesystem::path folder = argument.substr(equals + 1);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      std::string bytes = looplm::read_text_file(entry.path().string()).value();
      const bool large = bytes.size() >= 10'000;
      hub.add(argument.substr(0, equals), entry.path().lexically_relative(folder).string(),
              std::move(bytes), large);
    }
  }
  std::printf("%s\n", hub.url().c_str());
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    if (line.starts_with("cut ")) {  // the next file's bytes end after so many
      hub.fail_next({{HubStandIn::Fault::kCut, std::stoull(line.substr(4))}});
    }
  }
  return 0;
}
