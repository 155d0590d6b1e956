// Where the system refuses something because a limit is reached: which limit, and how to raise it.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <thread>

#include "base/error.hpp"

namespace deisa {

// Whether an errno says that the system has no file or no memory left.
bool is_shortage(int number) noexcept;

// What an errno means. Where it stands for a limit of this process, also how large that is, and how
// to raise it.
std::string system_text(int number);

// A thread with all signals blocked. Where the system gives none: Error(DEISA_ERROR_RESOURCE), which
// names what the thread is for.
std::thread start_thread(const char* what, std::function<void()> run);

// Any exception as an Error: no memory is DEISA_ERROR_RESOURCE, what is unexpected
// DEISA_ERROR_INTERNAL. May itself throw std::bad_alloc.
Error as_error(const std::exception& exception);

// write_error(as_error(...)), which says so too when there is no memory for a text.
deisa_status write_exception(const std::exception& exception, int rank, deisa_error* to) noexcept;

}  // namespace deisa
