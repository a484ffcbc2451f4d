// Memory between two pages that cannot be touched, so that a kernel that reads or writes one byte beyond a buffer is caught.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torchao_ops::test {

// Which side of the buffer lies exactly at an unmapped page. The other side has slack up to its own unmapped page; the slack holds a
// pattern, so that writes into it are found too.
enum class Placement { ends_at_guard, starts_at_guard };

class GuardedBuffer {
 public:
  GuardedBuffer() = default;
  GuardedBuffer(int64_t bytes, Placement placement);
  ~GuardedBuffer();
  GuardedBuffer(GuardedBuffer&& other) noexcept;
  GuardedBuffer& operator=(GuardedBuffer&& other) noexcept;

  uint8_t* data() const { return data_; }  // never null, even for 0 bytes
  int64_t size() const { return size_; }

  // The bytes of another buffer of the same size.
  void copy(const GuardedBuffer& other);

  // Overwrites the buffer and its slack with the pattern.
  void fill_with_pattern();
  // Whether the slack still holds the pattern: false if something was written outside the buffer.
  bool slack_is_untouched() const;
  // Makes the pages read-only, so that a write to an input is caught, or writable again.
  void set_writable(bool writable);

 private:
  uint8_t* data_ = nullptr;
  int64_t size_ = 0;
  uint8_t* pages_ = nullptr;  // accessible memory, between the two guard pages
  int64_t pages_size_ = 0;
};

// What fill_with_pattern writes: as fp32, fp16 and bf16 small odd numbers that no test expects.
constexpr uint8_t pattern = 0xa5;

// A later crash is reported with this description (the kernel and its arguments) instead of nothing, and the process ends.
void describe_current_case(const char* description);
void report_crashes();

}  // namespace torchao_ops::test
