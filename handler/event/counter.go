// Counters of what is no fact about a user.

package event

// Counter is a number that only grows. Its label comes from a fixed list.
type Counter string

// The counters. Unless said otherwise, the label is an outcome: OK, or the code of the
// refusal.
const (
	BrokeredSignIns    Counter = "brokered_sign_ins"   // sign-ins to the application for a session or an access token that lost its own
	UnprovenSessions   Counter = "sessions_unproven"   // no label
	SignIns            Counter = "sign_ins"            // beside those that are events
	Refusals           Counter = "refusals"            // beside those that are events
	BackchannelLogouts Counter = "backchannel_logouts" // logout requests of the provider
)

// OK is the outcome of a success.
const OK = "ok"
