// Who caused an event.

package event

// By says who caused an event.
type By string

// Who can cause one.
const (
	ByUser        By = "user"
	ByOperator    By = "operator"
	ByProvider    By = "provider"
	ByPolicy      By = "policy"      // the operator's rules
	ByApplication By = "application" // RomM
	ByTime        By = "time"
	ByStorage     By = "storage"
)
