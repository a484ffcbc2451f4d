#include "tests/cpp/cuda_host/fault.h"

#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "tests/cpp/cuda_host/block.h"
#include "tests/cpp/cuda_host/memory.h"

extern "C" char __executable_start;  // the linker's: where the program is loaded

namespace cuda_host {
namespace {

constexpr int faults[] = {SIGSEGV, SIGBUS, SIGFPE};
struct sigaction previous[3];
Site acting_for;
bool acting;

// Handlers run on a stack of their own: a fault may mean that the thread's stack is full.
alignas(16) char handler_stack[256 << 10];

void on_fault(int signal, siginfo_t* info, void* context) {
  if (current == nullptr) {  // not a kernel's: the instruction faults again, and whoever handled it before does so now
    for (int i = 0; i < 3; ++i) sigaction(faults[i], &previous[i], nullptr);
    return;
  }
  sigset_t blocked;  // this function does not return, which would unblock it
  sigemptyset(&blocked);
  sigaddset(&blocked, signal);
  sigprocmask(SIG_UNBLOCK, &blocked, nullptr);

  std::string place;
  if (acting) {
    place = std::string(acting_for.file) + ":" + std::to_string(acting_for.line);
  } else {
    place = place_of(reinterpret_cast<const void*>(static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]));
  }
  if (signal == SIGFPE) fail_at(place, "division by zero");
  const char* address = static_cast<const char*>(info->si_addr);
  if (is_below_stack(*current, address)) fail_at(place, "the stack of a thread is full");
  const Region* region = find_global(address);
  if (region == nullptr) region = find_shared(address);
  if (region == nullptr) fail_at(place, "access to %p, which is not memory of the device", static_cast<const void*>(address));
  fail_at(place, "access at offset %td of %s, which has %zu bytes", address - region->begin, region->name, region->bytes);
}

}  // namespace

std::string place_of(const void* instruction) {
  const auto offset = static_cast<size_t>(static_cast<const char*>(instruction) - &__executable_start);
  static std::map<size_t, std::string> known;  // addr2line takes its time
  std::string& place = known[offset];
  if (!place.empty()) return place;
  char text[400];
  std::snprintf(text, sizeof(text), "addr2line -s -e /proc/%d/exe 0x%zx 2>/dev/null", static_cast<int>(getpid()), offset);
  if (FILE* pipe = popen(text, "r")) {
    if (std::fgets(text, sizeof(text), pipe) != nullptr) place.assign(text, std::strcspn(text, " \n"));
    pclose(pipe);
  }
  if (place.empty() || place[0] == '?') {
    std::snprintf(text, sizeof(text), "instruction 0x%zx of the program", offset);
    place = text;
  }
  return place;
}

CatchFaults::CatchFaults() {
  stack_t stack{};
  stack.ss_sp = handler_stack;
  stack.ss_size = sizeof(handler_stack);
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int i = 0; i < 3; ++i) sigaction(faults[i], &action, &previous[i]);
}

CatchFaults::~CatchFaults() {
  for (int i = 0; i < 3; ++i) sigaction(faults[i], &previous[i], nullptr);
}

void act_for(Site site) {
  acting_for = site;
  acting = true;
}
void act_for_nobody() { acting = false; }

}  // namespace cuda_host
