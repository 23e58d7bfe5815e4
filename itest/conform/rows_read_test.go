package conform

var cloning = []row{
	{name: "clone", what: "`clone`, `-q`, `-o`, `--no-checkout`, `--no-tags`", script: `
		git clone $URL c
		git -C c log --graph --oneline --all
		git -C c describe
		git clone -q -o up --no-checkout $URL d
		git clone --no-tags -q $URL e
		cd /tmp && git clone -q $URL $DIR/f
	`},
	{name: "bare and mirror", what: "`clone --bare`, `clone --mirror`, `remote update`", script: `
		git clone --bare $URL c
		git clone --mirror $URL d
		git -C d remote update
	`},
	{name: "one branch", what: "`--single-branch`, `--branch BRANCH`, `--branch TAG`, a branch that is not there", script: `
		git clone --single-branch --branch topic/one $URL c
		git -C c fetch
		git clone --branch v1 $URL d
		! git -C d symbolic-ref HEAD
		git clone --single-branch --branch v2 $URL e
		! git clone --branch nothing $URL f
	`},
	{name: "protocol versions", what: "`-c protocol.version=0`, `1`, `2`", script: `
		git -c protocol.version=0 clone $URL c
		git -c protocol.version=1 clone $URL d
		git -c protocol.version=2 clone $URL e
		git -c protocol.version=0 ls-remote $URL
		git -c protocol.version=1 ls-remote $URL 'v*'
		git -c protocol.version=0 -C c fetch --depth=1
	`},
	{name: "borrowed objects", what: "`--reference`, `--reference-if-able`, `--dissociate`", script: `
		git clone -q --bare $URL ref
		git clone --reference ref $URL c
		git clone --reference ref --dissociate $URL d
		git clone --reference-if-able nothing $URL e
	`},
	{name: "detached HEAD", what: "`clone --branch light`, `fetch` and `switch --detach` there", script: `
		git clone -q --branch light $URL c
		git -C c fetch origin
		git -C c switch -q --detach origin/dev
		git -C c pull origin dev
	`},
	{name: "other programs for the other end", what: "`--upload-pack`", script: `
		~ git clone -q --upload-pack=git-upload-pack $URL c
	`, differs: "nobody chooses what runs on a replica: git warns that the option is ignored, and goes on", ways: []string{git, http}},
	{name: "no such repository", what: "`clone`, `fetch`, `ls-remote`: exit code 128, and nothing is left", script: `
		~! git clone $NOWHERE c
		! test -e c
		~! git ls-remote $NOWHERE
		git init -q d
		~! git -C d fetch $NOWHERE
	`, differs: "the words: peer says which repository, and what to try"},
}

var partly = []row{
	{name: "depth", what: "`--depth`, `--deepen`, `--depth` again, `--unshallow`, `--no-single-branch`", script: `
		git clone --depth=1 $URL c
		git -C c log --format=%s
		git -C c fetch --deepen=1
		git -C c log --format=%s
		git -C c fetch --depth=1
		git -C c fetch origin tag v1 --no-tags
		git -C c fetch --unshallow
		! git -C c fetch --unshallow
		git clone --depth=2 --no-single-branch $URL d
		git -C d pull
	`},
	{name: "since a day, without a tag", what: "`--shallow-since`, `--shallow-exclude`, and what they leave of a history", script: `
		git clone --shallow-since=2024-01-11 $URL c
		git -C c log --format=%s
		git -C c fetch --shallow-since=2024-01-05
		git -C c log --format=%s
		git clone --shallow-exclude=v1 $URL d
		git -C d log --format=%s
		git -C d fetch --shallow-exclude=light
		~! git clone -q --shallow-since=2030-01-01 $URL e
	`, differs: "over `http://`, as everywhere, git puts the same refusal into other words"},
	{name: "without blobs", what: "`--filter=blob:none`, blobs fetched when they are wanted, `--refetch`", script: `
		git clone --filter=blob:none --no-checkout $URL c
		git -C c rev-list --objects --all --missing=print | grep -c '^?'
		git -C c checkout -q main
		git -C c log -p --format=%s
		git -C c -c remote.origin.partialclonefilter= fetch -q --refetch
	`},
	{name: "without trees", what: "`--filter=tree:0`, `blob:limit`, `object:type`, two at once", script: `
		git clone --filter=tree:0 --no-checkout $URL c
		git -C c checkout -q v1
		git -C c diff light v2
		git clone --filter=blob:limit=4 $URL d
		git clone --bare --filter=object:type=commit $URL e
		git clone --no-checkout --filter=combine:blob:none+tree:1 $URL f
	`},
	{name: "sparse", what: "`--filter=blob:none --sparse`, `sparse-checkout set`, `add`, `disable`", script: `
		git clone --filter=blob:none --sparse $URL c
		git -C c ls-files -t
		git -C c sparse-checkout set dir/deep
		cat c/dir/deep/c.txt
		git -C c sparse-checkout add dir
		git -C c sparse-checkout disable
	`},
	{name: "shallow and partial", what: "`--depth --filter`, then `fetch` by object ID", script: `
		git clone --depth=1 --filter=blob:none $URL c
		git -C c fetch --depth=1 origin $(git -C $SEED rev-parse topic/one)
		git -C c checkout -q FETCH_HEAD
	`},
}

var fetching = []row{
	{name: "ls-remote", what: "patterns, `--heads`, `--tags`, `--refs`, `--symref`, `--sort`, `--exit-code`, `-q`, `--get-url`, `-o`", script: `
		git ls-remote $URL
		git ls-remote --heads $URL
		git ls-remote --tags $URL
		git ls-remote --refs $URL
		git ls-remote $URL 'v*'
		git ls-remote $URL 'topic/*' HEAD
		git ls-remote --symref $URL HEAD
		git ls-remote --sort=-version:refname --tags --refs $URL
		git ls-remote $URL nothing
		! git ls-remote --exit-code $URL nothing
		git ls-remote --exit-code -q $URL main
		git ls-remote --get-url $URL
		git ls-remote -o option $URL main
	`},
	{name: "refspecs to fetch", what: "patterns, negative ones, `+HEAD:`, tags, notes, an object ID; `FETCH_HEAD`", script: `
		git init -q c
		git -C c remote add origin $URL
		git -C c fetch origin 'refs/heads/topic/*:refs/remotes/t/*'
		git -C c fetch origin 'refs/heads/*:refs/remotes/n/*' '^refs/heads/dev'
		git -C c fetch origin +HEAD:refs/here/head main:local
		cat c/.git/FETCH_HEAD
		git -C c fetch origin tag again
		git -C c fetch origin 'refs/notes/*:refs/notes/*'
		git -C c notes show v1^{commit}
		git -C c fetch origin $(git -C $SEED rev-parse v1^{commit})
		git -C c fetch --no-tags --refmap= origin dev
		! git -C c fetch origin refs/heads/nothing
		cat c/.git/FETCH_HEAD
	`},
	{name: "an object that is not there", what: "`fetch` of an object ID that nobody has", script: `
		git init -q c
		~! git -C c fetch $URL 1234567890123456789012345678901234567890
	`, differs: "over `http://`, as everywhere, git adds a line of its own"},
	{name: "several remotes", what: "`fetch --all`, `--multiple`, `remote update`, `remote show`, `remote prune`, `pull`", script: `
		git clone -q $URL c
		git -C c remote add two $URL
		git -C c fetch --all
		git -C c update-ref refs/remotes/two/gone HEAD
		git -C c remote show origin
		git -C c remote prune --dry-run two
		git -C c remote prune two
		git -C c fetch --multiple origin two
		git -C c remote update --prune
		git -C c pull
		git -C c remote rename two three
		git -C c fetch three
	`},
	{name: "default branch", what: "`remote set-head -a`, `-d`; `refs/remotes/origin/HEAD`", script: `
		git clone -q $URL c
		git -C c remote set-head origin -d
		git -C c remote set-head origin -a
		git -C c remote set-head origin -a
		git -C c symbolic-ref refs/remotes/origin/HEAD
		git -C c rev-parse origin
	`},
	{name: "how much fetch says", what: "`-q`, `-v`, `--dry-run`, `--no-progress`, `--append`, nothing to do", script: `
		git init -q c
		git -C c remote add origin $URL
		git -C c fetch --dry-run
		git -C c fetch --no-progress
		~ git -C c fetch -v
		git -C c fetch
		git -C c fetch -q
		git -C c fetch --append origin dev topic/one
		cat c/.git/FETCH_HEAD
	`, differs: "over `git://` git says with `-v` whom it connects to, and over `http://` what it posts"},
	{name: "histories that parted", what: "`fetch` where both sides went on; `--negotiation-tip`, `--negotiate-only`", script: `
		git clone -q --branch v1 $URL c
		git -C c tag -d v2 again blob
		git -C c update-ref -d refs/remotes/origin/main
		commit c mine.txt one
		commit c mine.txt two
		git -C c fetch
		git -C c fetch --negotiate-only --negotiation-tip=HEAD origin
		git -C c fetch --negotiation-tip=v1 origin dev
		git -C c merge-base HEAD origin/main
	`},
	{name: "archive", what: "`archive --remote` of branches, tags and directories, `--list`, what is not there", script: `
		git archive --remote=$URL main | tar tv
		git archive --remote=$URL --prefix=p/ v1 dir | tar t
		git archive --remote=$URL --list
		git archive --remote=$URL --format=zip -o $DIR/x.zip dev
		cksum <x.zip
		~! git archive --remote=$URL nothing
	`, differs: "beside a path on disk one hears the archiver's own words as well", ways: []string{git}},
}
