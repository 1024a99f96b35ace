// Turns Ctrl-C (SIGINT) from an end of the process into something that a command can ask about.
// Install it once, on the main thread; afterwards any thread may ask.
#ifndef HOCKET_SERVICE_CLI_INTERRUPTS_H_
#define HOCKET_SERVICE_CLI_INTERRUPTS_H_

namespace hocket {

class Interrupts {
 public:
  // From here SIGINT is only noted. Its state is the process's, as signals are.
  static void Install();

  // Whether SIGINT came since the last Clear. False before Install.
  static bool Raised();
  static void Clear();

  // Readable as long as Raised() holds, for poll(); -1 before Install.
  static int fd();
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_INTERRUPTS_H_
