package replica

// Matches says whether a pattern, one that CheckPattern takes, is for a ref.
func Matches(text, name string) bool {
	p, err := parsePattern(text, Rules{CheckRefName: func(string) error { return nil }})
	return err == nil && p.matches(name)
}
