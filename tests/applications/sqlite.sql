.bail on
pragma journal_mode=delete;
create table item(id integer primary key, name text unique, price real, kind integer);
create index item_kind on item(kind, price);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000)
    insert into item select i, 'item ' || i, (i * 7919 % 10007) / 100.0, i % 13 from n;
select count(*), round(sum(price), 2), max(name) from item;
select kind, count(*), round(avg(price), 4) from item group by kind order by kind;
begin; delete from item where kind = 3; update item set price = price * 2 where kind = 5; rollback;
begin; delete from item where kind = 4; commit;
select count(*) from item;
select a.id, b.id from item a join item b on b.kind = a.kind and b.price = a.price and b.id > a.id where a.kind = 2 order by a.id, b.id limit 5;
create virtual table words using fts5(text);
insert into words select 'the ' || name || ' of kind ' || kind from item where id < 3000;
select count(*) from words where words match 'kind AND 7';
vacuum;
pragma integrity_check;
select json_group_array(json_object('k', kind)) from (select distinct kind from item order by kind);
