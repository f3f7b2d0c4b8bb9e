// A client for WebDriver, the protocol that drives Firefox and WebKitGTK:
// https://www.w3.org/TR/webdriver2/

package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// window is a tab of a browser with a driver.
type window struct {
	session string // the URL of the WebDriver session
	handle  string
}

// openWindow opens a tab.
func openWindow(ctx context.Context, session string) (*window, error) {
	opened, err := call[struct{ Handle string }](ctx, http.MethodPost, session+"/window/new", object{"type": "tab"})
	return &window{session, opened.Handle}, err
}

func (w *window) Open(ctx context.Context, target string) error {
	_, err := w.command(ctx, http.MethodPost, "/url", object{"url": target})
	return err
}

// Back presses the Back button.
func (w *window) Back(ctx context.Context) error {
	_, err := w.command(ctx, http.MethodPost, "/back", object{})
	return err
}

// Reload presses the Reload button.
func (w *window) Reload(ctx context.Context) error {
	_, err := w.command(ctx, http.MethodPost, "/refresh", object{})
	return err
}

// Close closes the tab, and goes to another one.
func (w *window) Close(ctx context.Context, other *window) error {
	if _, err := w.command(ctx, http.MethodDelete, "/window", nil); err != nil {
		return err
	}
	return other.focus(ctx)
}

func (w *window) Click(ctx context.Context, id string) error {
	return w.element(ctx, id, "/click", object{})
}

func (w *window) Fill(ctx context.Context, id, text string) error {
	return w.element(ctx, id, "/value", object{"text": text})
}

// element runs a command on an element, once the page has it.
func (w *window) element(ctx context.Context, id, path string, body object) error {
	for {
		found, err := w.command(ctx, http.MethodPost, "/element", object{"using": "css selector", "value": "#" + id})
		references, _ := found.(map[string]any) // one, under a name that the specification gives
		for _, reference := range references {
			_, err = w.command(ctx, http.MethodPost, fmt.Sprintf("/element/%v%s", reference, path), body)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (w *window) Evaluate(ctx context.Context, expression string) (string, error) {
	said, err := w.command(ctx, http.MethodPost, "/execute/async", object{"args": []any{}, "script": `const done = arguments[0];
		(async () => String(await (` + expression + `)))().then(done, (e) => done("failed: " + e))`})
	text, _ := said.(string)
	return text, err
}

// command runs a command in the tab.
func (w *window) command(ctx context.Context, method, path string, body any) (any, error) {
	if err := w.focus(ctx); err != nil {
		return nil, err
	}
	return call[any](ctx, method, w.session+path, body)
}

// focus makes the tab that of all later commands.
func (w *window) focus(ctx context.Context) error {
	_, err := call[any](ctx, http.MethodPost, w.session+"/window", object{"handle": w.handle})
	return err
}

type object map[string]any

// call sends a command to a driver and returns its value.
func call[T any](ctx context.Context, method, target string, body any) (value T, err error) {
	content, err := json.Marshal(body)
	if err != nil {
		return value, err
	}
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(content))
	if err != nil {
		return value, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return value, err
	}
	defer response.Body.Close()
	if content, err = io.ReadAll(response.Body); err != nil {
		return value, err
	}
	if response.StatusCode != http.StatusOK {
		return value, fmt.Errorf("%s %s: %s", method, target, content)
	}
	answer := struct{ Value *T }{&value}
	return value, json.Unmarshal(content, &answer)
}
