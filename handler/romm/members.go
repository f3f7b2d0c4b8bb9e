// JSON of RomM, of which only the members that the gate needs have to be of the
// right type.

package romm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// optional is a member that the gate can do without: zero if it is of another type.
type optional[T any] struct{ value T }

// UnmarshalJSON implements json.Unmarshaler.
func (o *optional[T]) UnmarshalJSON(data []byte) error {
	var value T
	if json.Unmarshal(data, &value) == nil {
		o.value = value
	}
	return nil
}

// decode reads the JSON of answer, the response to the request what. The error,
// a Problem, says what came and names the member that cannot be used.
func decode(what string, answer *application.Answer, target any) error {
	if answer.Status != http.StatusOK {
		return unexpected(what, answer)
	}
	err := json.Unmarshal(answer.Body, target)
	if err == nil {
		return nil
	}
	came := seen(what, answer)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		came = fmt.Errorf("%s is of the wrong type, %s: %w", wrong.Field, wrong.Value, came)
	}
	return unexpected(what, answer).Because(came)
}

// firstMembers returns the members of an object that was cut off, as far as they are
// whole.
func firstMembers(cut []byte) []byte {
	decoder, members := json.NewDecoder(bytes.NewReader(cut)), map[string]json.RawMessage{}
	for _, err := decoder.Token(); err == nil; {
		var name json.Token
		var member json.RawMessage
		if name, err = decoder.Token(); err == nil {
			err = decoder.Decode(&member)
		}
		if text, ok := name.(string); ok && err == nil {
			members[text] = member
		}
	}
	whole, err := json.Marshal(members)
	if err != nil {
		return nil
	}
	return whole
}

// firstElements returns the elements of a list that was cut off, as far as they are whole.
func firstElements[T any](cut []byte) (elements []T) {
	decoder := json.NewDecoder(bytes.NewReader(cut))
	if _, err := decoder.Token(); err != nil {
		return nil
	}
	for decoder.More() {
		var element T
		if decoder.Decode(&element) != nil {
			break
		}
		elements = append(elements, element)
	}
	return elements
}
