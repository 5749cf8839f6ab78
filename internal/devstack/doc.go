// Package devstack starts a private PostgreSQL and a private Redis for
// development and tests.
//
// Nobody has to start, configure or clean up a server: [Start] finds the
// installed programs, runs them in a new folder of their own and gives their
// addresses; [Stack.Close] stops them and removes the folder.
//
// # Durability
//
// The servers are set as a production server must be: PostgreSQL with fsync,
// Redis with an append-only file and appendfsync always. What is measured or
// tested against them is not flattered.
//
// # Privacy
//
// PostgreSQL listens on a Unix socket in the private folder and nowhere else.
// Redis listens on a free port of 127.0.0.1 and wants a random password.
//
// # Lifetime
//
// The servers and their folder go away however the process that owns them
// ends, SIGKILL included:
//
//   - On Linux the kernel signals a server when the thread that started it
//     ends (PR_SET_PDEATHSIG), so one goroutine locked to its thread starts
//     them all and lives until Close.
//   - A janitor, a small shell in a session of its own, reads from pipes whose
//     write ends its owner and the servers hold. When the last of them is gone
//     it removes the folder. Where the kernel has no such signal, it also
//     stops the servers once its owner is gone.
//
// They run in sessions of their own, so that Ctrl-C in a terminal does not
// reach them.
//
// # Root
//
// PostgreSQL refuses to run as root; for root, the servers run as the user
// postgres, who owns the folder.
package devstack
