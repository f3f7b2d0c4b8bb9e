// Events: what the provider reports to the operator's log and metrics.

package op

// Names of events. They are stable: they appear in logs and metrics.
const (
	eventRedeemed = "code_redeemed"            // RomM got an ID token
	eventRefused  = "token_request_refused"    // refused; the client has RomM's secret or a code of ours
	eventUnknown  = "token_request_unknown"    // refused; the client was not RomM
	eventKeys     = "signing_keys_unavailable" // loading the signing keys in the background failed
)

// Event is something that the provider reports as it happens.
type Event struct {
	// Name is code_redeemed, token_request_refused, token_request_unknown or
	// signing_keys_unavailable.
	Name string

	// Err is nil for code_redeemed. For a refused token request, it prints as
	// a stable reason such as wrong_client_secret or, if signing failed, says
	// how. It holds nothing secret or personal.
	Err error
}

// Anonymous reports whether a client that is not RomM caused the event. Any
// client can cause any number of these.
func (e Event) Anonymous() bool { return e.Name == eventUnknown }
