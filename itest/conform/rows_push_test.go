package conform

var pushing = []row{
	{name: "push", kind: writes, what: "`push`, `push` again, `-u`, `HEAD`, no upstream, `push.default`", script: `
		commit w n.txt one
		git -C w push
		git -C w push
		git -C w status -sb
		git -C w switch -q -c new
		commit w n.txt two
		! git -C w push
		git -C w push -u origin new
		commit w n.txt three
		git -C w push origin HEAD
		git -C w -c push.default=current push
		git -C w reflog show origin/new
	`},
	{name: "what push says", kind: writes, what: "`-v`, `-q`, `--porcelain`, `--dry-run`, each of several refs", script: `
		commit w n.txt one
		git -C w push --dry-run origin main :dev
		git -C w push -n --porcelain origin main :dev main:fresh
		! git -C w push --porcelain origin main topic/one origin/dev:topic/one :topic/two main:refs/heads/fresh
		! git -C w push --porcelain origin main origin/dev:refs/heads/topic/one :topic/two main:refs/heads/fresh
		git -C w push --porcelain origin main
		commit w n.txt two
		git -C w push -v
		commit w n.txt three
		git -C w push -q
		git -C w push -q --porcelain origin main:refs/heads/again
	`},
	{name: "force", kind: writes, what: "`--force`, `+main`, and what it leaves", script: `
		git -C w reset -q --hard HEAD~2
		commit w n.txt one
		git -C w push --force
		git -C w push origin +main:dev
		git -C w push --force --porcelain origin HEAD~1:topic/one main:topic/two
		git clone -q $URL c
	`},
	{name: "force with lease", kind: writes, what: "`--force-with-lease`, with a value, with none, stale; `--force-if-includes`", script: `
		git clone -q $URL other
		commit other o.txt one
		git -C other push -q
		git -C w reset -q --hard HEAD~1
		commit w n.txt one
		! git -C w push --force-with-lease
		! git -C w push --force-with-lease=main:v1 origin main
		git -C w fetch -q
		! git -C w push --force-with-lease --force-if-includes
		git -C w push --force-with-lease
		commit w n.txt two
		git -C w push --force-with-lease=main:$(git -C w rev-parse origin/main) origin main
		! git -C w push --force-with-lease=main: origin main~1:main
		git -C w push --force-with-lease=fresh: origin main:fresh
		! git -C w push --force-with-lease=fresh: origin main~1:fresh
	`},
	{name: "atomic", kind: writes, what: "`--atomic`, where all is well", script: `
		commit w n.txt one
		git -C w push --atomic origin main main:a main:refs/tags/t :dev
		git -C w push --atomic --porcelain origin main~1:refs/heads/b :a
	`},
	{name: "tags", kind: writes, what: "`--tags`, `--follow-tags`, annotated and light ones, moved, forced, deleted", script: `
		git -C w tag extra
		git -C w tag -a -m more more v1
		commit w n.txt one
		git -C w push --tags
		git -C w tag -a -m release v3
		git -C w tag light3
		git -C w push --follow-tags
		git -C w tag -f light HEAD
		! git -C w push origin light
		git -C w push -f origin light
		git -C w push origin :refs/tags/extra
		git -C w push --delete origin more v1
		git -C w push origin tag light3
		git clone -q $URL c
		git -C c describe
	`},
	{name: "push options", kind: writes, what: "`-o`, several, with spaces; `push.pushOption`", script: `
		commit w n.txt one
		git -C w push -o a=b -o "with space"
		git -C w -c push.pushOption=c push origin main:other
	`},
	{name: "prune", kind: writes, what: "`push --prune`, `fetch --prune`, `--prune-tags`, `remote prune`, `fetch.prune`", script: `
		git clone -q $URL c
		git -C w branch kept
		git -C w push --prune origin 'refs/heads/*'
		git -C c fetch --prune
		git -C w push -q --delete origin v2 kept
		git -C c fetch --prune --prune-tags
		git -C w push -q origin main:x main:y
		git -C c fetch -q
		git -C w push -q origin :x :y
		git -C c remote prune origin
		git -C c -c fetch.prune=true fetch
	`},
	{name: "refspecs to push", kind: writes, what: "patterns, negative ones, `:`, `HEAD:refs/…`, by object ID, `--all`, notes, replacements", script: `
		git -C w push origin 'refs/remotes/origin/topic/*:refs/heads/copy/*'
		git -C w push origin HEAD:refs/review/1/head
		git -C w push origin $(git -C w rev-parse v1^{commit}):refs/heads/by-id
		git -C w push origin HEAD~1:refs/heads/older v1^{commit}:refs/heads/released
		git -C w branch dev origin/dev
		git -C w branch one origin/topic/one
		git -C w push origin 'refs/heads/*' '^refs/heads/one'
		commit w n.txt one
		git -C w push origin :
		git -C w push --all
		git -C w push origin :dev
		git -C w push origin --delete one by-id
		! git -C w push origin nothing:refs/heads/nothing
		! git -C w push origin HEAD~1:unqualified
		git -C w notes add -m "to myself"
		git -C w replace HEAD~1 HEAD~2
		git -C w push origin 'refs/notes/*:refs/notes/mine/*' 'refs/replace/*:refs/replace/*'
	`},
	{name: "mirror", kind: writes, what: "`push --mirror`: new, moved and deleted refs, tags and notes", script: `
		git clone -q --mirror $URL m
		git -C m update-ref refs/heads/more main~1
		git -C m update-ref refs/heads/dev main
		git -C m update-ref -d refs/heads/topic/one
		git -C m tag -d v1
		git -C m push --mirror
		git -C m push --mirror
		git -C m push --mirror --porcelain $URL
	`},
	{name: "large and not thin", kind: writes, what: "`--no-thin`, `--thin`, a pack of more than a megabyte", script: `
		awk 'BEGIN { srand(1); for (i = 0; i < 300000; i++) print rand() }' >w/large.txt
		git -C w add large.txt
		git -C w commit -q -m large
		git -C w push --no-thin
		echo 1 >>w/large.txt
		git -C w commit -q -a -m "one line more"
		git -C w push --thin
		git clone -q $URL c
	`},
	{name: "from a shallow clone", kind: writes, what: "`clone --depth`, `push` back, `push` elsewhere, `fetch --unshallow`", script: `
		git clone -q --depth=1 $URL s
		commit s n.txt one
		git -C s push
		git -C s push origin HEAD:refs/heads/shallow
		! git -C s push $OTHER HEAD:refs/heads/main
		git -C s fetch -q --unshallow
		git -C s push $OTHER HEAD:refs/heads/main
	`},
	{name: "from a partial clone", kind: writes, what: "`clone --filter=blob:none` and `tree:0`, `push` back, `push` elsewhere", script: `
		git clone -q --filter=blob:none $URL p
		commit p n.txt one
		git -C p push
		git -C p push $OTHER main
		git clone -q --filter=tree:0 $URL t
		commit t n.txt two
		git -C t push origin main:from-t
		git clone -q $OTHER c
	`},
	{name: "from a detached HEAD", kind: writes, what: "`push` without a branch, `HEAD:refs/heads/…`", script: `
		git -C w switch -q --detach
		commit w n.txt one
		! git -C w push
		git -C w push origin HEAD:refs/heads/from-detached
		git -C w push origin HEAD:main
	`},
	{name: "hooks", kind: writes, what: "what `pre-push` is told, and a push that it stops", script: `
		printf '#!/bin/sh\necho "$#" >>../told; cat >>../told\n' >w/.git/hooks/pre-push
		chmod +x w/.git/hooks/pre-push
		commit w n.txt one
		git -C w push origin main :dev main:fresh
		cat told
		echo 'exit 1' >>w/.git/hooks/pre-push
		commit w n.txt two
		! git -C w push
		git -C w push --no-verify
	`},
	{name: "signed pushes", kind: writes, what: "`--signed=if-asked`, `--signed`, `--receive-pack`", script: `
		commit w n.txt one
		~ git -C w push --signed=if-asked
		~! git -C w push --signed origin main:signed
		commit w n.txt two
		~ git -C w push --receive-pack=git-receive-pack
	`, differs: "the words: each push to peer is signed anyway, by the key of the home, and not by a push certificate; nobody chooses what runs on a replica"},
	{name: "many refs", kind: writes, what: "300 branches and 300 tags: pushed at once, fetched, half of them pruned", script: `
		for i in $(seq 300); do echo "create refs/heads/many/$i HEAD"; echo "create refs/tags/many-$i HEAD~1"; done | git -C w update-ref --stdin
		git -C w push --porcelain origin 'refs/heads/many/*' 'refs/tags/many-*' | tail -3
		git clone -q $URL c
		for i in $(seq 150); do echo "delete refs/heads/many/$i"; done | git -C w update-ref --stdin
		git -C w push -q --prune origin 'refs/heads/many/*:refs/heads/many/*'
		git -C c fetch -q --prune
		git -C c branch -r | wc -l
	`},
}

var refusing = []row{
	{name: "not a fast-forward", kind: writes, what: "refused, with git's own advice; `fetch first`; `pull --rebase`, `--ff-only`, a merge", script: `
		git clone -q $URL other
		commit w n.txt one
		git -C w push
		commit other o.txt one
		! git -C other push
		! git -C other push --porcelain
		! git -C other push -q
		! git -C other pull --ff-only
		git -C other pull --rebase
		git -C other push
		git -C w reset -q --hard HEAD~1
		! git -C w push
		git -C w pull
		commit w n.txt two
		commit other o.txt two
		git -C other push -q
		git -C w fetch
		git -C w merge -q -m merged origin/main
		git -C w push
		git -C w request-pull v1 $URL main
		! git -C w push origin main~3:main
		! git -C w push origin +main~3:main dev~1:dev v1:refs/heads/dev
	`},
	{name: "atomic, refused here", kind: writes, what: "`--atomic` with a branch that is no fast-forward", script: `
		commit w n.txt one
		git -C w branch dev origin/dev~1
		~! git -C w push --atomic origin main dev
	`, differs: "git says `atomic push failed` of the siblings as `[rejected]`, peer as `[remote rejected]`: a helper can't say the first"},
	{name: "atomic, refused there", kind: writes, what: "`--atomic` with a ref that only the other end refuses", script: `
		commit w n.txt one
		~! git -C w push --atomic origin main :refs/heads/main
		~! git -C w push -q --atomic origin main:a :refs/heads/main
	`, differs: "git calls the sibling's fate an `atomic push failure`, peer `atomic push failed`"},
	{name: "the default branch stays", kind: writes, what: "`push --delete` of the branch that HEAD names, also by `--mirror`", script: `
		! git -C w push origin --delete main
		! git -C w push --porcelain origin :main :dev
		git clone -q --mirror $URL m
		git -C m symbolic-ref HEAD refs/heads/topic/one
		git -C m update-ref -d refs/heads/main
		! git -C m push --mirror
	`},
	{name: "another default branch", kind: writes, what: "`remote set-head -a`, `ls-remote --symref`, `clone`, and what may be deleted then", script: `
		peer: peer repo default-branch $URL dev
		plain: git -C ${URL#file://} symbolic-ref HEAD refs/heads/dev
		git ls-remote --symref $URL HEAD
		git -C w remote set-head origin -a
		git -C w remote show origin
		git clone $URL c
		git -C w push origin :main
		! git -C w push origin :dev
		git -C w fetch --prune
	`, differs: "how: with peer it is a signed change, and who may push to both branches may make it"},
	{name: "what a branch can be", kind: writes, what: "a tag or a blob as a branch, a tag of a blob", script: `
		~! git -C w push origin v1:refs/heads/tag-object
		~! git -C w push origin v1:a.txt:refs/heads/blob
		git -C w push origin v1:a.txt:refs/tags/blob2 main^{tree}:refs/tags/tree
		git clone -q $URL c
	`, differs: "the words: git says `cannot update ref`, peer says what the object is"},
	{name: "directories and files", kind: writes, what: "a branch below the name of another, in one push and one by one", script: `
		git -C w push origin main:dir
		~! git -C w push origin main:dir/below
		git -C w push origin :dir
		git -C w push origin main:dir/below
		~! git -C w push origin main:dir
		peer: git -C w push --atomic origin :dir/below main:refs/heads/dir
		plain: ! git -C w push --atomic origin :dir/below main:refs/heads/dir
		plain: git -C w push origin :dir/below
		plain: git -C w push origin main:refs/heads/dir
		git -C w push origin main:dir2/below
	`, differs: "the words; and peer takes a swap of both in one push, which git's own files can't do"},
}

var naming = []row{
	{name: "strange names", kind: writes, what: "letters of all languages, signs that shells and patterns know, long ones", script: `
		git -C w push origin main:refs/heads/ünïcödé/日本 main:refs/heads/a%b main:refs/heads/feature/#1
		git -C w push origin "main:refs/heads/it's" 'main:refs/heads/"quoted"' 'main:refs/heads/$(var)&;|<>!' main:refs/heads/a@b 'main:refs/heads/{x}' main:refs/heads/a=b,c
		git -C w push origin main:refs/tags/-dash
		! git -C w push origin main:refs/heads/.x/../y
		git -C w push origin main:refs/heads/$(printf 'x%.0s' $(seq 200)) main:refs/heads/p/p/p/p/p/p/p/p/p/p main:refs/heads/refs/heads/main
		git -C w push --porcelain origin main:refs/heads/ünïcödé/zwei
		git clone -q $URL c
		git -C c switch -q 'it'"'"'s'
		git -C c push origin 'HEAD:refs/heads/$(var)&;|<>!'
		git ls-remote $URL 'refs/heads/ünï*' '*日本'
		git -C w push -q origin ':refs/heads/$(var)&;|<>!' :refs/heads/ünïcödé/日本
		git -C c fetch --prune
	`},
	{name: "names that git refuses too", kind: writes, what: "`HEAD`, dots, spaces, `.lock`", script: `
		! git -C w push origin 'main:refs/heads/a..b'
		! git -C w push origin 'main:refs/heads/a b'
		! git -C w push origin main:refs/heads/x.lock
		! git -C w push origin main:refs/heads/
		! git -C w push origin main:refs/heads/@{x
	`},
	{name: "names that only peer refuses", kind: writes, what: "`refs/peer/`, `refs/stash`, a branch called HEAD, bytes that are not UTF-8", script: `
		peer: ! git -C w push origin main:refs/peer/x
		peer: ! git -C w push origin main:refs/stash
		peer: ! git -C w push origin main:refs/heads/HEAD
		peer: ! git -C w push origin "main:refs/heads/$(printf 'a\377b')"
		peer: ! git -C w push origin "main:refs/heads/$(printf 'x%.0s' $(seq 251))"
		git -C w push origin main:refs/heads/well
	`, differs: "`refs/peer/` is peer's own; a name is text for everybody's files and programs, with a category: one without (`refs/stash`) would be a file where others need a directory, and one that a file system can't hold would stop a replica"},
}
