// Package repotest is the conformance suite of relaystore: what the contract's
// methods promise, checked through a [repo.Client] alone, whatever its data is in
// and however it is cached.
//
//	func TestConformance(t *testing.T) {
//		cfg := …
//		repotest.Run(t, func(t *testing.T) *repo.Client { … open cfg … }, repotest.Full)
//	}
//
// [Capabilities] say what a primary cannot do. Each is checked both ways: what a
// primary claims must work, and what it does not claim must be refused with a code,
// or be missing as the capability says.
package repotest
