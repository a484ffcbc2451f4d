#include "tests/cpp/guarded_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace torchao_ops::test {
namespace {

int64_t page_size() { return sysconf(_SC_PAGESIZE); }

char current_case[1024];

void on_crash(int signal) {
  const char* what = signal == SIGILL   ? "illegal instruction"
                     : signal == SIGFPE ? "integer division by zero"
                                        : "memory outside its buffers, or a write to an input";
  char text[1200];
  const int length = std::snprintf(text, sizeof(text), "\nCRASH (%s) in %s\n", what, current_case);
  if (write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) _exit(3);
  _exit(2);
}

}  // namespace

GuardedBuffer::GuardedBuffer(int64_t bytes, Placement placement) : size_(bytes) {
  const int64_t page = page_size();
  pages_size_ = (bytes + page - 1) / page * page;
  if (pages_size_ == 0) pages_size_ = page;
  void* mapping = mmap(nullptr, static_cast<size_t>(pages_size_ + 2 * page), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    std::perror("mmap");
    std::abort();
  }
  pages_ = static_cast<uint8_t*>(mapping) + page;
  set_writable(true);
  data_ = placement == Placement::ends_at_guard ? pages_ + pages_size_ - bytes : pages_;
  fill_with_pattern();
}

GuardedBuffer::~GuardedBuffer() {
  if (pages_ != nullptr) munmap(pages_ - page_size(), static_cast<size_t>(pages_size_ + 2 * page_size()));
}

GuardedBuffer::GuardedBuffer(GuardedBuffer&& other) noexcept { *this = std::move(other); }

GuardedBuffer& GuardedBuffer::operator=(GuardedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(pages_, other.pages_);
  std::swap(pages_size_, other.pages_size_);
  return *this;
}

void GuardedBuffer::copy(const GuardedBuffer& other) {
  if (size_ != 0) std::memcpy(data_, other.data_, static_cast<size_t>(size_));
}

void GuardedBuffer::fill_with_pattern() { std::memset(pages_, pattern, static_cast<size_t>(pages_size_)); }

bool GuardedBuffer::slack_is_untouched() const {
  for (const uint8_t* p = pages_; p < pages_ + pages_size_; ++p) {
    if (p == data_) p += size_;
    if (p < pages_ + pages_size_ && *p != pattern) return false;
  }
  return true;
}

void GuardedBuffer::set_writable(bool writable) {
  if (mprotect(pages_, static_cast<size_t>(pages_size_), writable ? PROT_READ | PROT_WRITE : PROT_READ) != 0) {
    std::perror("mprotect");
    std::abort();
  }
}

void describe_current_case(const char* description) { std::snprintf(current_case, sizeof(current_case), "%s", description); }

void report_crashes() {
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) std::signal(signal, on_crash);
}

}  // namespace torchao_ops::test
