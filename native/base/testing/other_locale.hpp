// A locale that writes numbers its own way, for C and C++ of the whole process while it lives. It is
// made for the test: the machine need not have it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <clocale>
#include <filesystem>
#include <locale>
#include <string>

namespace deisa::testing {

class OtherLocale {
 public:
  // de_DE: 1.234,5. ps_AF: the same with signs of two bytes.
  explicit OtherLocale(const std::string& name) {
    char folder[] = "/tmp/deisa-locale-XXXXXX";
    if (::mkdtemp(folder) == nullptr) return;
    folder_ = folder;
    const std::string make =
        "localedef -i " + name + " -f UTF-8 " + folder_ + "/" + name + ".UTF-8";
    if (std::system(make.c_str()) != 0) return;
    ::setenv("LOCPATH", folder, 1);
    if (std::setlocale(LC_ALL, (name + ".UTF-8").c_str()) == nullptr) return;
    std::locale::global(std::locale(name + ".UTF-8"));
    is_there_ = true;
  }
  ~OtherLocale() {
    std::locale::global(std::locale::classic());
    std::setlocale(LC_ALL, "C");
    ::unsetenv("LOCPATH");
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }
  OtherLocale(const OtherLocale&) = delete;
  OtherLocale& operator=(const OtherLocale&) = delete;

  ::testing::AssertionResult is_there() const {
    if (is_there_) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "no locale could be made: apt install locales";
  }

 private:
  std::string folder_;
  bool is_there_ = false;
};

}  // namespace deisa::testing
