// Package event names what happens to users at the gate: one Event for one
// fact. The audit log has a line for each, Caddy's events app gets it, and the
// metrics count it. It also names the counters of what is no fact about a user.
package event

import (
	"net/http"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Schema is the version of the audit log and of the events' data. It changes
// if a field changes its name or its meaning, not if one is added.
const Schema = 1

// Name is the name of an event. It is stable.
type Name string

// The events.
const (
	SignedIn        Name = "signed_in"
	Refused         Name = "refused"
	SignedOut       Name = "signed_out" // by the user, here
	Ended           Name = "ended"      // a session, in any other way
	RoleChanged     Name = "role_changed"
	AccountLinked   Name = "account_linked"
	AccountUnlinked Name = "account_unlinked"
	AccountTrusted  Name = "account_trusted"
)

// Names returns every name, in the order in which the documentation has them.
func Names() []Name {
	return []Name{SignedIn, Refused, SignedOut, Ended, RoleChanged, AccountLinked, AccountUnlinked, AccountTrusted}
}

// messages are the words of the events in the log.
var messages = map[Name]string{
	SignedIn: "signed in", Refused: "request refused", SignedOut: "session ended", Ended: "session ended",
	RoleChanged: "role changed", AccountLinked: "account linked", AccountUnlinked: "account unlinked", AccountTrusted: "account trusted",
}

// Event is a fact. Fields that are empty are not known, or do not apply.
type Event struct {
	Name Name
	Gate string // the gate's ID

	User      string // at the provider
	Subject   string // at the provider
	Account   string // in the application
	ClientIP  string
	SessionID string

	// Of a refusal.
	Code, Reference string
	Doctor          string // of a refusal: the code of the doctor that explains it
	Status          int
	Method, Path    string
	SignIn          bool  // the request was to sign in
	Cause           error // for the log only

	Reason string // of an end
	By     By     // who caused it

	Role, FormerRole string // in the application
	AccessToken      bool   // the user signed in with an access token of the provider
}

// field is a part of an event in the log and in the data of Caddy's events.
type field struct{ name, value string }

// fields returns the parts of e that are known, except numbers and flags.
func (e *Event) fields() []field {
	all := [...]field{
		{"gate", e.Gate},
		{"user", e.User},
		{"sub", e.Subject},
		{"account", e.Account},
		{"session_id", e.SessionID},
		{"client_ip", e.ClientIP},
		{"code", e.Code},
		{"reference", e.Reference},
		{"doctor", e.Doctor},
		{"method", e.Method},
		{"path", e.Path},
		{"reason", e.Reason},
		{"by", string(e.By)},
		{"role", e.Role},
		{"former_role", e.FormerRole},
	}
	known := make([]field, 0, len(all))
	for _, f := range all {
		if f.value != "" {
			known = append(known, f)
		}
	}
	return known
}

// Log writes the line of e to the audit log, which is a child of logger. An
// operator should look at refusals that are no user's fault.
func (e *Event) Log(logger *zap.Logger) {
	level := zap.InfoLevel
	if e.Status >= http.StatusInternalServerError {
		level = zap.WarnLevel
	}
	e.write(logger.Named("audit"), level)
}

// Debug writes e to logger for debugging.
func (e *Event) Debug(logger *zap.Logger) { e.write(logger, zap.DebugLevel) }

func (e *Event) write(logger *zap.Logger, level zapcore.Level) {
	line := logger.Check(level, messages[e.Name])
	if line == nil {
		return
	}
	fields := []zap.Field{zap.Int("schema", Schema), zap.String("event", string(e.Name))}
	for _, f := range e.fields() {
		fields = append(fields, zap.String(f.name, f.value))
	}
	if e.Status != 0 {
		fields = append(fields, zap.Int("status", e.Status))
	}
	if e.SignIn {
		fields = append(fields, zap.Bool("sign_in", true))
	}
	if e.AccessToken {
		fields = append(fields, zap.Bool("access_token", true))
	}
	line.Write(append(fields, zap.NamedError("cause", e.Cause))...)
}

// Data returns e as the data of a Caddy event: the fields of its log line
// except the cause.
func (e *Event) Data() map[string]any {
	data := map[string]any{"schema": Schema}
	for _, f := range e.fields() {
		data[f.name] = f.value
	}
	if e.Status != 0 {
		data["status"] = e.Status
	}
	if e.SignIn {
		data["sign_in"] = true
	}
	if e.AccessToken {
		data["access_token"] = true
	}
	return data
}
