//go:build !linux

package devstack

import "syscall"

// diesWithThread tells that the janitor has to stop the servers.
const diesWithThread = false

// locale sorts by code point; macOS has no C.UTF-8.
const locale = "C"

// tether does nothing: there is no signal on a parent's death here.
func tether(*syscall.SysProcAttr, syscall.Signal) {}
