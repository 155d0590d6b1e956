// Control by a child process: what is said, and what is made of answers that are none.
#pragma once

#include <optional>
#include <string>

#include "control/child.hpp"
#include "control/control.hpp"
#include "control/launch.hpp"
#include "control/locate.hpp"

namespace deisa {

class ControlProcess final : public Control {
 public:
  ControlProcess(Places places, Launch launch, const Settings& settings);
  ~ControlProcess() override;

  std::string wait_until_loaded(const Deadline& deadline) override;
  void connect(const Deadline& deadline) override;
  std::string run(const std::string& function, const std::string& request,
                  const Deadline& deadline) override;
  std::string call(const std::string& actor, const std::string& method, const std::string& request,
                   const Deadline& deadline) override;

 private:
  std::string request(const std::string& what, std::string fields, const Deadline& deadline);
  std::string line(const std::string& what, const std::string& text, const Deadline& deadline,
                   double seconds);
  [[noreturn]] void fail(deisa_status status, const std::string& what, const std::string& how);
  TraceSpan span(const char* what) const;

  Places places_;
  Launch launch_;
  Settings settings_;
  Child child_;
  bool loaded_ = false;
  bool connecting_ = false;
  int last_id_ = 0;
};

}  // namespace deisa
