package devstack

import "syscall"

// diesWithThread tells that tether works here.
const diesWithThread = true

// locale sorts by code point, as production should, and knows UTF-8's letters.
const locale = "C.UTF-8"

// tether has the kernel send sig to the process when the thread that starts it
// ends, however that happens.
func tether(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
