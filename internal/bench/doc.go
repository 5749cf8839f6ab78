// Package bench measures the library on the machine at hand: [Validate] how fast
// keys are validated, beside its baselines in the same run, and [Revoke] how soon
// real processes stop to say yes to a key that is revoked.
//
// Both run on a [Place], with the library's defaults whatever the environment
// says. What needs a process of its own runs in the same program under the hidden
// commands [FillCommand] and [LoopCommand].
package bench
