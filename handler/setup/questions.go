// The questions to an operator at a terminal.

package setup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Ask asks for what given, which knows the command's flags, does not have.
func (p *Plan) Ask(in io.Reader, out io.Writer, given func(flag string) bool) error {
	answers := bufio.NewReader(in)
	for _, question := range []struct {
		flag, text string
		to         *string
		yes        *bool // for a question with yes or no
	}{
		{"site", "RomM's public address, for instance https://romm.example.com", &p.Site, nil},
		{"romm-exists", "Does RomM run already? [y/N]", nil, &p.RommExists},
		{"authelia", "Authelia's public address, for instance https://auth.example.com", &p.Authelia, nil},
		{"authelia-exists", "Does Authelia run already? [y/N]", nil, &p.AutheliaExists},
		{"admin", "The e-mail address of RomM's administrator, as Authelia has it", &p.Admin, nil},
		{"group", "The group at Authelia that may use RomM (empty: every user of Authelia)", &p.Group, nil},
	} {
		if given(question.flag) {
			continue
		}
		_, _ = fmt.Fprintf(out, "%s: ", question.text)
		line, err := answers.ReadString('\n')
		if err != nil && (!errors.Is(err, io.EOF) || line == "") {
			return fmt.Errorf("reading the answer: %w", err)
		}
		answer := strings.TrimSpace(line)
		if question.to != nil {
			*question.to = answer
		} else {
			*question.yes = strings.HasPrefix(strings.ToLower(answer), "y")
		}
	}
	return nil
}
